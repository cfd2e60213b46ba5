"""Python expressions as C expressions: names, fields, entries, conditions and calls."""

from __future__ import annotations

import ast
from abc import abstractmethod
from types import FunctionType, ModuleType

from layerweaver.backend_sim.firmware.arithmetic import (
    ARITHMETIC,
    COMPARED,
    Arithmetic,
    all_of,
    any_of,
    negated,
)
from layerweaver.backend_sim.firmware.spans import INT32, Number, Span, constant
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
from layerweaver.scheduler.machine.jit import counted

__all__ = ["Expressions"]


class Expressions(Arithmetic):
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

    @abstractmethod
    def local(self, name: str) -> Thing | None:
        """What a local name stands for; None if it is no local."""

    @abstractmethod
    def call(self, node: ast.Call, function: FunctionType) -> Thing:
        """A call of a plain function."""

    def number(self, node: ast.expr) -> Number:
        """An expression that has to be an integer."""
        return self._as_number(node, self.thing(node))

    def _as_number(self, node: ast.expr, thing: Thing) -> Number:
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
            return negated(self.condition(node.operand))
        value = self._absolute(self.number(node))
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
        at = self._absolute(self.number(index))
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

    def _compared(self, node: ast.Compare) -> Number:
        parts: list[Number] = []
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, (ast.In, ast.NotIn)):
                parts.append(self._membership(node, left, op, right))
            elif type(op) in COMPARED:
                first, second = self.thing(left), self.thing(right)
                if isinstance(first, Several) and isinstance(second, Several):
                    parts.append(self._differ(node, first, type(op), second))
                else:
                    numbers = self._as_number(left, first), self._as_number(right, second)
                    parts.append(self._comparison(numbers[0], type(op), numbers[1]))
            else:
                raise self.refusal(node, f"{type(op).__name__} is not translated", "== and !=")
            left = right
        if len(parts) > 1 and any(part.calls for part in parts):
            raise self.refusal(
                node, "a chain of comparisons with calls is not translated", "name the result first"
            )
        return all_of(parts)

    def _differ(self, node: ast.Compare, first: Several, op: type[ast.cmpop], second: Several) -> Number:
        """Two tuples, by the first parts in which they differ."""
        pairs = list(zip(first.items, second.items, strict=False))
        numbers = [(a, b) for a, b in pairs if isinstance(a, Number) and isinstance(b, Number)]
        if len(numbers) < max(len(first.items), len(second.items)) or not numbers:
            raise self.refusal(
                node, f"{ast.unparse(node)[:60]} is no comparison of numbers", "tuples as long"
            )
        if any(a.calls or b.calls for a, b in numbers):
            raise self.refusal(node, "tuples with calls are not compared", "name the results first")
        return self._first_difference(numbers, op)

    def _first_difference(self, pairs: list[tuple[Number, Number]], op: type[ast.cmpop]) -> Number:
        if op is ast.Eq:
            return all_of([self._comparison(a, op, b) for a, b in pairs])
        if op is ast.NotEq:
            return any_of([self._comparison(a, op, b) for a, b in pairs])
        strictly = ast.Lt if op in (ast.Lt, ast.LtE) else ast.Gt
        found = self._comparison(pairs[-1][0], op, pairs[-1][1])
        for a, b in reversed(pairs[:-1]):
            found = any_of(
                [self._comparison(a, strictly, b), all_of([self._comparison(a, ast.Eq, b), found])]
            )
        return found

    def _membership(self, node: ast.Compare, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Number:
        value, among = self.thing(left), self.thing(right)
        if not isinstance(among, Several) or (isinstance(value, Number) and value.calls):
            raise self.refusal(right, "in is translated for tuples only", "a tuple")
        same: list[Number] = []
        for item in among.items:
            if isinstance(value, Several) and isinstance(item, Several):
                same.append(self._differ(node, value, ast.Eq, item))
            elif not isinstance(value, Several) and isinstance(item, Number):
                same.append(self._comparison(self._as_number(left, value), ast.Eq, item))
        # Python makes the whole tuple before it looks; C stops at what is equal.
        if any(item.calls for item in among.items[1:] if isinstance(item, Number)):
            raise self.refusal(node, "tuples with calls are not compared", "name the results first")
        found = any_of(same)
        return found if isinstance(op, ast.In) else negated(found)

    def _joined(self, node: ast.BoolOp) -> Number:
        decisive = int(isinstance(node.op, ast.Or))
        parts: list[Number] = []
        for value in node.values:
            parts.append(self.condition(value))
            if parts[-1].value == decisive:
                break  # Python looks no further
        return any_of(parts) if decisive else all_of(parts)

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
        first, second = self._alike(self.number(body), self.number(orelse))
        wide = not (INT32.holds(first.span) and INT32.holds(second.span))
        return Number(
            f"({chosen.text} ? {first.as_type(wide)} : {second.as_type(wide)})",
            first.span.join(second.span),
            wide=wide,
            boolean=first.boolean and second.boolean,
            calls=chosen.calls or first.calls or second.calls,
            kind=first.kind if first.kind == second.kind else "",
        )

    def _callee(self, node: ast.Call) -> FunctionType | None:
        """The plain function that is called; None where something else is."""
        value = self._called(node)
        return value if isinstance(value, FunctionType) else None

    def _called(self, node: ast.Call) -> object:
        """What is called, as far as it is a known object."""
        called = self.thing(node.func)
        return called.value if isinstance(called, Known) else None

    def _call(self, node: ast.Call) -> Thing:
        value = self._called(node)
        if value is counted and len(node.args) == 1:
            return self.number(node.args[0])
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
