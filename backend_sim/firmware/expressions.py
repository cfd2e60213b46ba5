"""Python expressions as C expressions: integer arithmetic, comparisons, fields, entries and calls.

Results equal Python's for every value: ``//`` and ``%`` round down, and arithmetic is as wide as its result.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from layerweaver.backend_sim.firmware.spans import BOOLEAN, INT32, INT64, Number, Span, constant
from layerweaver.backend_sim.firmware.things import (
    Known,
    Layout,
    Listed,
    Pointed,
    Seen,
    Several,
    Thing,
    Whole,
    refusal,
)
from layerweaver.ir import PolicyError

__all__ = ["ARITHMETIC", "Expressions"]

ARITHMETIC = "policies of whole numbers: + - * // % << >> & | ^, comparisons, min, max, abs"

_ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[int, int], int]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.FloorDiv: ("/", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.LShift: ("<<", operator.lshift),
    ast.RShift: (">>", operator.rshift),
    ast.BitAnd: ("&", operator.and_),
    ast.BitOr: ("|", operator.or_),
    ast.BitXor: ("^", operator.xor),
}
_COMPARED: dict[type[ast.cmpop], tuple[str, Callable[[int, int], bool]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}
_MOST_SHIFTED = 62


class Expressions:
    """Translates the expressions of one function.

    Args:
        function: The function.
        layout: Where fields are.
    """

    def __init__(self, function: FunctionType, layout: Layout) -> None:
        self.function = function
        self.layout = layout
        self._names = _names_of(function)

    def refusal(self, node: ast.AST, what: str, accepted: str = ARITHMETIC) -> PolicyError:
        """An error that says what cannot be translated."""
        return refusal(self.function, int(getattr(node, "lineno", 0)), what, accepted)

    def local(self, name: str) -> Thing | None:
        """What a local name stands for; None if it is no local."""
        raise NotImplementedError

    def call(self, node: ast.Call, function: FunctionType) -> Thing:
        """A call of a plain function."""
        raise NotImplementedError

    def number(self, node: ast.expr) -> Number:
        """An expression that has to be an integer."""
        thing = self.thing(node)
        if isinstance(thing, Number):
            return thing
        if isinstance(thing, Known) and isinstance(thing.value, float):
            raise self.refusal(node, f"{ast.unparse(node)[:60]} is floating point")
        raise self.refusal(node, f"{ast.unparse(node)[:60]} is no integer")

    def condition(self, node: ast.expr) -> Number:
        """An expression as a truth value."""
        if isinstance(node, ast.BoolOp):
            return self._joined(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.condition(node.operand)
            if inner.value is not None:
                return constant(int(not inner.value), boolean=True)
            return Number(f"(!{inner.text})", BOOLEAN, boolean=True, calls=inner.calls)
        value = self.number(node)
        if value.boolean:
            return value
        if value.value is not None:
            return constant(int(value.value != 0), boolean=True)
        return self._comparison(value, ast.NotEq, constant(0))

    def thing(self, node: ast.expr) -> Thing:
        """Any expression."""
        match node:
            case ast.Constant(value=bool() as value):
                return constant(int(value), boolean=True)
            case ast.Constant(value=int() as value):
                return self._bounded(node, value)
            case ast.Constant(value=value):
                return Known(value)
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(node, self.thing(owner), name)
            case ast.Subscript(value=owner, slice=index):
                return self._entry(node, self.thing(owner), index)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return Several(tuple(self.thing(item) for item in items))
            case ast.UnaryOp(op=ast.Not()) | ast.BoolOp():
                return self._truth(node)
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(node, op, self.number(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(node, self.number(left), op, self.number(right))
            case ast.Compare():
                return self._compared(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._either(test, body, orelse)
            case ast.Call():
                return self._call(node)
        raise self.refusal(node, f"{type(node).__name__} is not translated: {ast.unparse(node)[:60]}")

    def _bounded(self, node: ast.AST, value: int) -> Number:
        if not INT64.low <= value <= INT64.high:
            raise self.refusal(node, f"{value} does not fit 64 bits")
        return constant(value)

    def _name(self, node: ast.Name, name: str) -> Thing:
        found = self.local(name)
        if found is not None:
            return found
        if name not in self._names:
            raise self.refusal(node, f"{name} is not defined")
        return self._object(node, self._names[name])

    def _object(self, node: ast.expr, value: object) -> Thing:
        """A Python object that is known when the program is translated."""
        if isinstance(value, bool):
            return constant(int(value), boolean=True)
        if isinstance(value, int):
            return self._bounded(node, int(value))
        if isinstance(value, (tuple, list)):
            return Several(tuple(self._object(node, item) for item in value))
        index = getattr(value, "__index__", None)
        if callable(index) and not isinstance(value, type):
            return self._bounded(node, int(index()))
        return Known(getattr(value, "py_func", value))

    def _attribute(self, node: ast.Attribute, owner: Thing, name: str) -> Thing:
        match owner:
            case Seen():
                found = _of_view(owner, name)
            case Whole(name="memory"):
                found = _of_memory(name)
            case Whole():
                prepared = self.layout.table(name)
                found = None if prepared is None else prepared[0]
            case Pointed():
                found = self.layout.read(owner, name)
                if self.layout.is_floating(owner, name):
                    raise self.refusal(node, f"{ast.unparse(node)[:60]} is floating point")
            case Known(value=ModuleType() | type() as holder) if hasattr(holder, name):
                return self._object(node, getattr(holder, name))
            case _:
                found = None
        if found is None:
            raise self.refusal(
                node, f"there is no {ast.unparse(node)[:60]}", "fields of view, options and memory"
            )
        return found

    def _entry(self, node: ast.Subscript, owner: Thing, index: ast.expr) -> Thing:
        if isinstance(index, ast.Slice):
            raise self.refusal(node, "slices are not translated", "single entries")
        at = self.number(index)
        match owner:
            case Several(items=items) if at.value is not None and -len(items) <= at.value < len(items):
                return items[at.value]
            case Listed(of="number", text=text):
                return self.entry_of(text, at)
            case Listed(of="table", text=text):
                prepared = self.layout.table(text)
                assert prepared is not None
                return Number(f"{prepared[1].text}[{at.text}]", prepared[1].span, wide=prepared[1].wide)
            case Listed(of=record, text=text):
                return Pointed(record, f"{text}[{at.text}].")
        raise self.refusal(node, f"{ast.unparse(node)[:60]} is no entry of a list of the view or of memory")

    def entry_of(self, text: str, at: Number) -> Number:
        """An entry of a list of tenants."""
        tenants = self.layout.read(Pointed("machine", ""), "tenant_count")
        assert tenants is not None
        return Number(f"(int32_t){text}[{at.text}]", Span(0, tenants.span.high - 1))

    def _unary(self, node: ast.AST, op: ast.unaryop, value: Number) -> Number:
        match op:
            case ast.USub():
                return self._binary(node, constant(0), ast.Sub(), value)
            case ast.Invert():
                return self._binary(node, constant(-1), ast.Sub(), value)
        return value

    def _binary(self, node: ast.AST, left: Number, op: ast.operator, right: Number) -> Number:
        if isinstance(op, ast.Div):
            raise self.refusal(node, "/ is floating point", f"// of whole numbers; {ARITHMETIC}")
        if isinstance(op, ast.Pow) and left.value is not None and right.value is not None:
            return self._power(node, left.value, right.value)
        if type(op) not in _ARITHMETIC:
            raise self.refusal(node, f"{type(op).__name__} is not translated")
        sign, compute = _ARITHMETIC[type(op)]
        if isinstance(op, (ast.LShift, ast.RShift)):
            return self._shifted(node, left, op, right)
        if left.value is not None and right.value is not None:
            if right.value == 0 and sign in "/%":
                raise self.refusal(node, "division by zero", "another divisor")
            return self._bounded(node, compute(left.value, right.value))
        span = _span_of(op, left.span, right.span).clamped()
        wide = not all(INT32.holds(item) for item in (span, left.span, right.span))
        calls = left.calls or right.calls
        a, b = left.as_type(wide), right.as_type(wide)
        if sign in "/%" and (left.span.low < 0 or right.span.low <= 0):
            name = "lw_floor_divide" if sign == "/" else "lw_floor_remainder"
            a, b = left.as_type(True), right.as_type(True)
            return Number(f"{name}({a}, {b})", span, wide=True, calls=calls)
        if sign in "/%" and wide:
            name = "lw_divide" if sign == "/" else "lw_remainder"
            return Number(f"{name}({a}, {b})", span, wide=True, calls=calls)
        return Number(f"({a} {sign} {b})", span, wide=wide, calls=calls)

    def _power(self, node: ast.AST, base: int, exponent: int) -> Number:
        if not 0 <= exponent <= _MOST_SHIFTED:
            raise self.refusal(node, f"a power of {exponent} is not translated", "constants from 0 to 62")
        return self._bounded(node, base**exponent)

    def _shifted(self, node: ast.AST, left: Number, op: ast.operator, right: Number) -> Number:
        by = right.value
        if by is None or not 0 <= by <= _MOST_SHIFTED:
            raise self.refusal(
                node, "shifts by what is not a constant from 0 to 62 are not translated", "// or *"
            )
        if isinstance(op, ast.LShift):
            return self._binary(node, left, ast.Mult(), constant(1 << by))
        if left.value is None and left.span.low >= 0:
            text = f"({left.text} >> {by})"
            return Number(
                text, Span(left.span.low >> by, left.span.high >> by), wide=left.wide, calls=left.calls
            )
        return self._binary(node, left, ast.FloorDiv(), constant(1 << by))

    def _comparison(self, left: Number, op: type[ast.cmpop], right: Number) -> Number:
        sign, compare = _COMPARED[op]
        calls = left.calls or right.calls
        if not calls:
            corners = {
                compare(a, b)
                for a in (left.span.low, left.span.high)
                for b in (right.span.low, right.span.high)
            }
            if len(corners) == 1 and (
                op not in (ast.Eq, ast.NotEq)
                or left.span.high < right.span.low
                or right.span.high < left.span.low
                or (left.value is not None and right.value is not None)
            ):
                return constant(int(corners.pop()), boolean=True)
        wide = not (INT32.holds(left.span) and INT32.holds(right.span))
        text = f"({left.as_type(wide)} {sign} {right.as_type(wide)})"
        return Number(text, BOOLEAN, boolean=True, calls=calls)

    def _compared(self, node: ast.Compare) -> Number:
        parts: list[Number] = []
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, (ast.In, ast.NotIn)):
                parts.append(self._membership(left, op, right))
            elif type(op) in _COMPARED:
                parts.append(self._comparison(self.number(left), type(op), self.number(right)))
            else:
                raise self.refusal(node, f"{type(op).__name__} is not translated", "== and !=")
            left = right
        if len(parts) > 1 and any(part.calls for part in parts):
            raise self.refusal(
                node, "a chain of comparisons with calls is not translated", "name the result first"
            )
        return _all_of(parts)

    def _membership(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Number:
        value, among = self.number(left), self.thing(right)
        if not isinstance(among, Several) or value.calls:
            raise self.refusal(right, "in is translated for tuples of numbers only", "a tuple of numbers")
        same = [
            self._comparison(value, ast.Eq, item) if isinstance(item, Number) else constant(0, boolean=True)
            for item in among.items
        ]
        found = _any_of(same)
        if isinstance(op, ast.In):
            return found
        if found.value is not None:
            return constant(1 - found.value, boolean=True)
        return Number(f"(!{found.text})", BOOLEAN, boolean=True)

    def _joined(self, node: ast.BoolOp) -> Number:
        parts = [self.condition(value) for value in node.values]
        return _all_of(parts) if isinstance(node.op, ast.And) else _any_of(parts)

    def _truth(self, node: ast.expr) -> Number:
        """``and``, ``or`` and ``not`` as a value: of numbers Python gives one of them, not a truth value."""
        if isinstance(node, ast.BoolOp) and not all(self.number(item).boolean for item in node.values):
            raise self.refusal(
                node, "and and or of numbers are not translated as a number", "a comparison, or x if c else y"
            )
        return self.condition(node)

    def _either(self, test: ast.expr, body: ast.expr, orelse: ast.expr) -> Thing:
        chosen = self.condition(test)
        if chosen.value is not None:
            return self.thing(body if chosen.value else orelse)
        first, second = self.number(body), self.number(orelse)
        wide = not (INT32.holds(first.span) and INT32.holds(second.span))
        return Number(
            f"({chosen.text} ? {first.as_type(wide)} : {second.as_type(wide)})",
            first.span.join(second.span),
            wide=wide,
            boolean=first.boolean and second.boolean,
            calls=chosen.calls or first.calls or second.calls,
        )

    def _call(self, node: ast.Call) -> Thing:
        called = self.thing(node.func)
        value = called.value if isinstance(called, Known) else None
        if isinstance(value, FunctionType):
            return self.call(node, value)
        if value in (min, max) and not node.keywords and len(node.args) > 1:
            return self._extreme([self.number(item) for item in node.args], least=value is min)
        if value is abs and len(node.args) == 1:
            inner = self.number(node.args[0])
            return self._extreme([inner, self._unary(node, ast.USub(), inner)], least=False)
        if value in (int, bool) and len(node.args) == 1:
            return self.number(node.args[0]) if value is int else self.condition(node.args[0])
        what = f"{ast.unparse(node.func)[:60]} cannot be called"
        raise self.refusal(
            node, "float is floating point" if value is float else what, f"plain functions; {ARITHMETIC}"
        )

    def _extreme(self, values: list[Number], *, least: bool) -> Number:
        result = values[0]
        pick: Callable[..., Any] = min if least else max
        for value in values[1:]:
            span = Span(pick(result.span.low, value.span.low), pick(result.span.high, value.span.high))
            if not (result.calls or value.calls):
                decided = _decided(result, value, least)
                if decided is not None:
                    result = decided
                    continue
            wide = not (INT32.holds(result.span) and INT32.holds(value.span))
            name = f"lw_{'least' if least else 'most'}_{64 if wide else 32}"
            text = f"{name}({result.as_type(wide)}, {value.as_type(wide)})"
            result = Number(text, span, wide=wide, calls=result.calls or value.calls)
        return result


def _decided(a: Number, b: Number, least: bool) -> Number | None:
    """The one of two that is the extreme whatever they are."""
    low, high = (a, b) if least else (b, a)
    if low.span.high <= high.span.low:
        return a
    if high.span.high <= low.span.low:
        return b
    return None


def _all_of(parts: list[Number]) -> Number:
    open_ = [part for part in parts if part.value is None]
    if any(part.value == 0 for part in parts) and not any(part.calls for part in parts):
        return constant(0, boolean=True)
    return _connected(open_, "&&", 1)


def _any_of(parts: list[Number]) -> Number:
    open_ = [part for part in parts if part.value is None]
    if any(part.value == 1 for part in parts) and not any(part.calls for part in parts):
        return constant(1, boolean=True)
    return _connected(open_, "||", 0)


def _connected(parts: list[Number], sign: str, empty: int) -> Number:
    if not parts:
        return constant(empty, boolean=True)
    if len(parts) == 1:
        return parts[0]
    text = f" {sign} ".join(part.text for part in parts)
    return Number(f"({text})", BOOLEAN, boolean=True, calls=any(part.calls for part in parts))


def _span_of(op: ast.operator, a: Span, b: Span) -> Span:
    """Bounds of a result, from those of its operands."""
    match op:
        case ast.Add():
            return Span(a.low + b.low, a.high + b.high)
        case ast.Sub():
            return Span(a.low - b.high, a.high - b.low)
        case ast.Mult():
            corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
            return Span(min(corners), max(corners))
        case ast.FloorDiv():
            divisors = [d for d in (b.low, b.high, -1, 1) if d != 0 and b.low <= d <= b.high]
            corners = [x // d for x in (a.low, a.high) for d in divisors] + (
                [0] if b.low <= 0 <= b.high else []
            )
            return Span(min(corners), max(corners))
        case ast.Mod():
            return Span(min(0, b.low + 1), max(0, b.high - 1))
        case ast.BitAnd() if a.low >= 0 or b.low >= 0:
            return Span(0, min(item.high for item in (a, b) if item.low >= 0))
    bits = max(item.bit_length() for item in (a.low, a.high, b.low, b.high))
    return Span(0 if a.low >= 0 and b.low >= 0 else -(1 << bits), (1 << bits) - 1)


def _of_view(view: Seen, name: str) -> Thing | None:
    parts: dict[str, Thing] = {
        "machine": Pointed("machine", "lw->machine."),
        "heads": Listed("head", "lw->heads"),
        "ready": Listed("number", view.ready),
        "spare": Listed("number", view.spare),
        "fetches": Listed("fetch", "lw->fetches"),
    }
    return parts.get(name)


def _of_memory(name: str) -> Thing | None:
    parts: dict[str, Thing] = {
        "tenants": Listed("own", "lw->own"),
        "common": Pointed("common", "lw->common."),
        "tables": Whole("tables"),
    }
    return parts.get(name)


def _names_of(function: FunctionType) -> dict[str, object]:
    """What names that are not local mean in a function."""
    builtins_of = function.__globals__.get("__builtins__", {})
    known = dict(vars(builtins_of) if isinstance(builtins_of, ModuleType) else builtins_of)
    known |= function.__globals__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        known[name] = cell.cell_contents
    return known
