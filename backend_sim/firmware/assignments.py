"""Assignments: to names, to several at once, and to fields."""

from __future__ import annotations

import ast
from abc import abstractmethod
from dataclasses import replace
from types import FunctionType
from typing import Protocol

from layerweaver.backend_sim.firmware.c_words import c_type, unbracketed
from layerweaver.backend_sim.firmware.locals import Locals
from layerweaver.backend_sim.firmware.spans import INT32, Number, Span, constant
from layerweaver.backend_sim.firmware.things import Listed, Pointed, Seen, Several, Thing

__all__ = ["Assignments", "Called", "Result"]


class Result:
    """What a function returns: nothing, an integer, or several.

    Attributes:
        spans: Bounds of each.
        kinds: The kind of each.
        several: Whether it is a tuple.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.kinds: list[str] = []
        self.several = False

    def number(self, at: int, text: str, *, calls: bool = False) -> Number:
        """One of them, by the expression that reads it."""
        span = self.spans[at]
        return Number(text, span, wide=not INT32.holds(span), calls=calls, kind=self.kinds[at])

    def numbers(self, taken: str) -> list[Number]:
        """All of them, from the record in which they are returned."""
        return [self.number(at, f"{taken}.value{at}") for at in range(len(self.spans))]


class Called(Protocol):
    """A function that is called."""

    name: str
    result: Result


class Assignments(Locals):
    """Translates assignments."""

    @abstractmethod
    def _call_text(self, node: ast.Call, function: FunctionType) -> tuple[Called, str]:
        """A function that is called, and the call."""

    @abstractmethod
    def _wanted(self, record: str, field: str) -> bool:
        """Whether anybody reads a field."""

    def _assign(self, node: ast.stmt, target: ast.expr, value: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                self._assign_name(node, name, value)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                self._assign_several(node, targets, value)
            case ast.Attribute() | ast.Subscript():
                self._assign_place(node, target, value)
            case _:
                raise self.refusal(
                    node, f"{ast.unparse(target)[:60]} cannot be assigned", "a name or a field"
                )

    def _assign_name(self, node: ast.stmt, name: str, value: ast.expr) -> None:
        if self._drops(name):
            thing = self.thing(value)
            if isinstance(thing, Number):
                self._locals.setdefault(name, constant(0, boolean=thing.boolean))
                self._grow(name, thing.span)
                self._only_call(thing)
                return
        self._bind(node, name, self._value(value))

    def _value(self, node: ast.expr) -> Thing:
        """An expression, or a view made of another one's lists."""
        if isinstance(node, ast.Call) and getattr(self._called(node), "__name__", "") == "View":
            lists = [self.thing(item) for item in node.args]
            if len(lists) == 5 and isinstance(lists[2], Listed) and isinstance(lists[4], Listed):
                return Seen(lists[2].text, lists[4].text)
            raise self.refusal(
                node,
                "a view is made of all its five parts",
                "View(machine, heads, ready, fetches, spare)",
            )
        return self.thing(node)

    def _assign_several(self, node: ast.stmt, targets: list[ast.expr], value: ast.expr) -> None:
        things: tuple[Thing, ...]
        if isinstance(value, ast.Call) and (function := self._callee(value)) is not None:
            callee, text = self._call_text(value, function)
            if not callee.result.several:
                raise self.refusal(node, f"{function.__name__} returns no tuple", "as many results as names")
            taken = self._temporary()
            self._emit(f"{callee.name}_result {taken} = {text};")
            things = tuple(callee.result.numbers(taken))
        else:
            thing = self.thing(value)
            things = thing.items if isinstance(thing, Several) else ()
            if isinstance(value, ast.Tuple) and len(things) == len(targets):
                things = tuple(self._kept(item, value.elts[k], targets[:k]) for k, item in enumerate(things))
        if len(things) != len(targets):
            raise self.refusal(node, "as many names as results are needed", "a tuple of the same length")
        for target, thing in zip(targets, things, strict=True):
            match target:
                case ast.Name(id=name):
                    self._bind(node, name, thing)
                case ast.Attribute() | ast.Subscript() if isinstance(thing, Number):
                    self._write_place(node, target, thing)
                case _:
                    raise self.refusal(
                        node, f"{ast.unparse(target)[:60]} cannot be assigned", "a name or a field"
                    )

    def _kept(self, thing: Thing, value: ast.expr, before: list[ast.expr]) -> Thing:
        """A value of a parallel assignment: Python computes all of them before it writes the first."""
        if not isinstance(thing, Number) or thing.value is not None:
            return thing
        written = {node.id for target in before for node in ast.walk(target) if isinstance(node, ast.Name)}
        plain = all(isinstance(target, ast.Name) for target in before)
        names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
        if plain and not thing.calls and names.isdisjoint(written):
            return thing
        name = self._temporary()
        self._emit(
            f"{c_type(thing.span)} {name} = {unbracketed(thing.as_type(not INT32.holds(thing.span)))};"
        )
        return replace(thing, text=name, wide=not INT32.holds(thing.span), calls=False)

    def _assign_place(self, node: ast.stmt, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Attribute):
            owner = self.thing(target.value)
            writable = isinstance(owner, Pointed) and self.layout.write(owner, target.attr) is not None
            if writable and isinstance(owner, Pointed) and not self._wanted(owner.record, target.attr):
                thing = self.thing(value)
                if isinstance(thing, Number):
                    self._only_call(thing)
                    return
        self._write_place(node, target, self.number(value))

    def _write_place(self, node: ast.stmt, target: ast.expr, value: Number) -> None:
        kind_of = ""
        if isinstance(target, ast.Attribute):
            owner = self.thing(target.value)
            if isinstance(owner, Pointed) and self.layout.is_floating(owner, target.attr):
                raise self.refusal(node, f"{ast.unparse(target)[:60]} is floating point")
            place = self.layout.write(owner, target.attr) if isinstance(owner, Pointed) else None
            field = self.layout.read(owner, target.attr) if isinstance(owner, Pointed) else None
            kind_of = field.kind if field is not None else ""
        else:
            assert isinstance(target, ast.Subscript)
            listed, at = self.thing(target.value), self._absolute(self.number(target.slice))
            place = None
            if isinstance(listed, Listed) and listed.of == "number" and "spare" in listed.text:
                place = f"{listed.text}[{at.text}]", "lw_tenant"
        if place is None:
            raise self.refusal(
                node,
                f"{ast.unparse(target)[:60]} cannot be written",
                "machine.mode, machine.hold_until, memory",
            )
        text, kind = place
        value = self._as_kind(value, kind_of)
        wide = kind == "int64_t"
        written = value.as_type(wide)
        if value.value is None and kind not in ("int64_t", "int32_t"):
            written = f"({kind}){value.text}"
        self._emit_store(text, unbracketed(written))
