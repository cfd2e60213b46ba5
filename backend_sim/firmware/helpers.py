"""Small functions of C that translated programs call: extremes, and divisions that round as Python's do."""

from __future__ import annotations

__all__ = ["helpers"]

_HELPERS = {
    "lw_least_32": "static int32_t lw_least_32(int32_t a, int32_t b)\n{\n    return a < b ? a : b;\n}\n",
    "lw_least_64": "static int64_t lw_least_64(int64_t a, int64_t b)\n{\n    return a < b ? a : b;\n}\n",
    "lw_most_32": "static int32_t lw_most_32(int32_t a, int32_t b)\n{\n    return a > b ? a : b;\n}\n",
    "lw_most_64": "static int64_t lw_most_64(int64_t a, int64_t b)\n{\n    return a > b ? a : b;\n}\n",
    "lw_divide": """\
/* a / b for a >= 0 and b > 0; most numbers fit 32 bits, which a small core divides at once. */
static int64_t lw_divide(int64_t a, int64_t b)
{
    if ((((uint64_t)a | (uint64_t)b) >> 32) == 0) {
        return (int64_t)((uint32_t)a / (uint32_t)b);
    }
    return a / b;
}
""",
    "lw_remainder": """\
static int64_t lw_remainder(int64_t a, int64_t b)
{
    return a - lw_divide(a, b) * b;
}
""",
    "lw_floor_divide": """\
/* a / b rounded down; 0 for b == 0. */
static int64_t lw_floor_divide(int64_t a, int64_t b)
{
    int64_t quotient;
    if (b == 0) {
        return 0;
    }
    if (a >= 0 && b > 0) {
        return lw_divide(a, b);
    }
    if (b == -1) {
        return (int64_t)(0 - (uint64_t)a);
    }
    quotient = a / b;
    return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}
""",
    "lw_floor_remainder": """\
static int64_t lw_floor_remainder(int64_t a, int64_t b)
{
    return b == 0 ? 0 : a - lw_floor_divide(a, b) * b;
}
""",
}
_CALLED_BY = {
    "lw_remainder": ("lw_divide",),
    "lw_floor_divide": ("lw_divide",),
    "lw_floor_remainder": ("lw_floor_divide", "lw_divide"),
}


def helpers(program: str) -> str:
    """The functions that a program needs, with those that they call."""
    named = [name for name in _HELPERS if f"{name}(" in program]
    called = {inner for name in named for inner in _CALLED_BY.get(name, ())}
    return "\n".join(text for name, text in _HELPERS.items() if name in named or name in called)
