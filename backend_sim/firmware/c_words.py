"""Names, types and brackets of C texts."""

from __future__ import annotations

import re

from layerweaver.backend_sim.firmware.spans import INT32, Span

__all__ = ["POINTED", "address", "bracketed", "c_type", "identifier", "is_mentioned", "unbracketed"]

POINTED = {"head": "lw_head", "fetch": "lw_fetch", "own": "lw_own"}
"""Records of which there are several, and the C type of one."""

_TAKEN = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int "  # noqa: SIM905
    "long register restrict return short signed sizeof static struct switch typedef union unsigned void "
    "volatile while lw ready spare bool true false NULL memset memcpy".split()
)


def c_type(span: Span) -> str:
    """The C type of a local."""
    return "int32_t" if INT32.holds(span) else "int64_t"


def identifier(name: str) -> str:
    """A Python name as a C name."""
    plain = "".join(c if c.isascii() else f"u{ord(c):x}_" for c in name)
    return f"{plain}_" if plain in _TAKEN or plain.startswith("lw_") or plain.endswith("_t") else plain


def address(text: str) -> str:
    """A pointer to the record whose fields follow ``text``."""
    return text[:-2] if text.endswith("->") else f"&{text[:-1]}"


def bracketed(text: str) -> str:
    """An expression in brackets."""
    return text if _is_bracketed(text) else f"({text})"


def unbracketed(text: str) -> str:
    """An expression without brackets around all of it."""
    return text[1:-1] if _is_bracketed(text) else text


def _is_bracketed(text: str) -> bool:
    """Whether one pair of brackets is around all of it."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return at == len(text) - 1 and text.startswith("(")
    return False


def is_mentioned(text: str, name: str) -> bool:
    """Whether a text has a word."""
    return re.search(rf"\b{re.escape(name)}\b", text) is not None
