"""One Python function as one C function: what it is given, what it calls, and what it returns.

A function is translated again and again until the bounds of its locals, arguments and results grow no more.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Set
from types import FunctionType
from typing import Protocol, TypeAlias

from layerweaver.backend_sim.firmware.assignments import Result
from layerweaver.backend_sim.firmware.c_words import POINTED, address, c_type, identifier, is_mentioned
from layerweaver.backend_sim.firmware.spans import INT32, Number
from layerweaver.backend_sim.firmware.statements import Statements, loop_only
from layerweaver.backend_sim.firmware.things import (
    Layout,
    Listed,
    Pointed,
    Seen,
    Thing,
    refusal,
    source_lines,
)
from layerweaver.backend_sim.firmware.tuples import without_tuples

__all__ = ["Function"]

Field: TypeAlias = tuple[str, str]
"""A record and its field; what outlasts a call of a function."""

_ENTRIES: Field = ("", "entries")
"""Those of lists of tenants."""

_TAKEN = re.compile(r"\s*\w+ (result\d+_*) = ")


class Others(Protocol):
    """The program that a function is part of."""

    def callee(
        self, caller: Function, node: ast.Call, function: FunctionType, given: list[Thing]
    ) -> Function:
        """The translation of a function that is called."""
        ...

    def reads(self, record: str, field: str) -> bool:
        """Whether anybody reads a field."""
        ...


class Function(Statements):
    """A function being translated.

    Args:
        function: The function.
        name: Its name in C.
        layout: Where fields are.
        kinds: Of every parameter, what it is given: integers and records are parameters in C as well.
        others: The program that it is part of.
    """

    def __init__(
        self, function: FunctionType, name: str, layout: Layout, kinds: dict[str, Thing], others: Others
    ) -> None:
        text, first = source_lines(function)
        tree = ast.parse(textwrap.dedent(text))
        ast.increment_lineno(tree, first - 1)
        definition = tree.body[0]
        if not isinstance(definition, ast.FunctionDef):
            raise refusal(function, first, "only functions made by def are translated", "a plain def")
        self._body = definition.body
        self.summary = (ast.get_docstring(definition) or "").split("\n", maxsplit=1)[0]
        if self.summary:
            self._body = self._body[1:]
        self._body = without_tuples(self._body, function.__code__.co_varnames)
        super().__init__(function, layout, kinds, loop_only(self._body))
        self.name = name
        self.result = Result()
        self.called: set[Function] = set()
        self._others = others
        self.sees: set[Field] = set()
        self.changes: set[Field] = set()
        self._effects: dict[ast.AST, tuple[Set[Field], Set[Field]]] = {}

    def _wanted(self, record: str, field: str) -> bool:
        return self._others.reads(record, field)

    def accept(self, given: list[Thing]) -> None:
        """Take the bounds of arguments into account."""
        for parameter, thing in zip(self._parameters, given, strict=True):
            if isinstance(thing, Number):
                self._grow(parameter, thing.span)

    def signature(self) -> str:
        """The head of the C function."""
        parts = [f"{kind}{name}" for name, kind in self._c_parameters().items()]
        return f"static {self.returned()} {self.name}({', '.join(parts)})"

    def returned(self) -> str:
        """The C type of the result."""
        if self.result.several:
            return f"{self.name}_result"
        return c_type(self.result.spans[0]) if self.result.spans else "void"

    def declaration(self) -> list[str]:
        """The record of several results, if there is one."""
        if not self.result.several:
            return []
        fields = [f"    {c_type(span)} value{k};" for k, span in enumerate(self.result.spans)]
        return ["typedef struct {", *fields, f"}} {self.name}_result;", ""]

    def translate(self) -> list[str]:
        """One pass over the body; what it wrote is final once no bounds changed."""
        self.changed = self.passes == 0
        self.passes += 1
        self._begin()
        self.called = set()
        ended = self._block(self._body)
        if not ended and self.result.spans:
            raise self.refusal(self._body[-1], "it may end without a result", "return on every way")
        alive = self._mentioned_locals()
        if alive != self._alive:
            self._alive, self.changed = alive, True
        hoisted = [self._declare(name) for name in sorted(self._used_locals - self._declared)]
        text = "\n".join(self._lines)
        self._lines = [line + self._ignored(line, text) for line in self._lines]
        unused = [f"    (void){name};" for name in self._c_parameters() if not is_mentioned(text, name)]
        return [*(f"    {line}" for line in hoisted), *unused, *self._lines]

    def _c_parameters(self) -> dict[str, str]:
        """The parameters of the C function, each with the type that stands before it."""
        kinds = {"lw": "lw_scheduler *"}
        for name in self._parameters:
            match self._locals[name]:
                case Number() if not self._is_fixed(name):
                    kinds[identifier(name)] = f"{c_type(self._spans[name])} "
                case Pointed(record=record) if record in POINTED:
                    kinds[identifier(name)] = f"{POINTED[record]} *"
                case Seen() if self.lists_used:
                    kinds |= {"ready": "lw_tenant *", "spare": "lw_tenant *"}
        return kinds

    def _ignored(self, line: str, text: str) -> str:
        """Behind the line that takes a result which nothing reads: that this is meant."""
        taken = _TAKEN.match(line)
        if taken is None or len(re.findall(rf"\b{taken[1]}\b", text)) > 1:
            return ""
        return f" (void){taken[1]};"

    def _attribute(self, node: ast.Attribute, owner: Thing, name: str) -> Thing:
        if isinstance(owner, Seen) and name in ("ready", "spare"):
            self._use_lists()
        if isinstance(owner, Pointed) and self.layout.write(owner, name) is not None:
            self._note(node, sees={(owner.record, name)})
        return super()._attribute(node, owner, name)

    def thing(self, node: ast.expr) -> Thing:
        """Any expression; C computes the parts of one in any order, so none may change what another sees."""
        found = super().thing(node)
        if isinstance(node, (ast.BinOp, ast.Compare, ast.Call, ast.Subscript, ast.Tuple, ast.List)):
            self._check_order(node, ast.iter_child_nodes(node))
        match node:
            case ast.Subscript(slice=twice) if isinstance(found, Pointed):
                self._check_order(node, [twice, twice])
            case ast.Call(func=ast.Name(id="abs"), args=[twice]):
                self._check_order(node, [twice, twice])
        return found

    def _entry(self, node: ast.Subscript, owner: Thing, index: ast.expr) -> Thing:
        if isinstance(owner, Listed) and owner.of == "number":
            self._note(node, sees={_ENTRIES})
        return super()._entry(node, owner, index)

    def _assign_place(self, node: ast.stmt, target: ast.expr, value: ast.expr) -> None:
        super()._assign_place(node, target, value)
        self._check_order(value, [target, value])

    def _write_place(self, node: ast.stmt, target: ast.expr, value: Number) -> None:
        super()._write_place(node, target, value)
        owner = self.thing(target.value) if isinstance(target, ast.Attribute) else None
        if isinstance(target, ast.Attribute) and isinstance(owner, Pointed):
            self._note(node, changes={(owner.record, target.attr)})
        else:
            self._note(node, changes={_ENTRIES})

    def _note(
        self, node: ast.AST, *, sees: Set[Field] = frozenset(), changes: Set[Field] = frozenset()
    ) -> None:
        """Note what a part of the function reads and writes of what outlasts it."""
        self._effects[node] = sees, changes
        self.changed = self.changed or not (sees <= self.sees and changes <= self.changes)
        self.sees |= sees
        self.changes |= changes

    def _check_order(self, node: ast.expr, parts: Iterable[ast.AST]) -> None:
        if not self.changes:
            return
        seen, changed = set[Field](), set[Field]()
        for part in parts:
            effects = [self._effects[item] for item in ast.walk(part) if item in self._effects]
            sees = set[Field]().union(*(item[0] for item in effects))
            changes = set[Field]().union(*(item[1] for item in effects))
            if changes & (seen | changed) or sees & changed:
                what = f"in {ast.unparse(node)[:60]} a call changes what is read beside it"
                raise self.refusal(node, what, "name the result first")
            seen |= sees
            changed |= changes

    def call(self, node: ast.Call, function: FunctionType) -> Thing:
        """A call of a plain function: an expression, or nothing that has a value."""
        callee, text = self._call_text(node, function)
        if callee.result.several:
            raise self.refusal(
                node, "several results are taken apart where they are returned only", "a, b = f(...)"
            )
        if not callee.result.spans:
            raise self.refusal(node, f"{function.__name__} returns nothing", "a call as a statement")
        return callee.result.number(0, text, calls=True)

    def _call_text(self, node: ast.Call, function: FunctionType) -> tuple[Function, str]:
        given = self._arguments(node, function)
        callee = self._others.callee(self, node, function, given)
        self.called.add(callee)
        self._check_order(node, ast.iter_child_nodes(node))
        self._note(node, sees=callee.sees, changes=callee.changes)
        parts = ["lw"]
        for name, thing in zip(callee._parameters, given, strict=True):
            match thing:
                case Number() if not callee._is_fixed(name):
                    parts.append(thing.as_type(not INT32.holds(callee._spans[name])))
                case Pointed(record=record, text=text) if record in POINTED:
                    parts.append(address(text))
                case Seen(ready=ready, spare=spare) if callee.lists_used:
                    self._use_lists()
                    parts += [ready, spare]
                case Listed(of="number"):
                    raise self.refusal(
                        node, f"{name} of {function.__name__} is a list of tenants", "give it the view"
                    )
        return callee, f"{callee.name}({', '.join(parts)})"

    def _arguments(self, node: ast.Call, function: FunctionType) -> list[Thing]:
        """Arguments in the order of parameters, defaults filled in."""
        code = function.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:count]
        given: dict[str, Thing] = {}
        for name, value in zip(names, node.args, strict=False):
            given[name] = self.thing(value)
        for keyword in node.keywords:
            given[str(keyword.arg)] = self.thing(keyword.value)
        defaults = function.__defaults__ or ()
        for name, value in zip(
            names[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True
        ):
            given.setdefault(name, self._object(node, value))
        for name, value in (function.__kwdefaults__ or {}).items():
            given.setdefault(name, self._object(node, value))
        if set(given) != set(names) or len(node.args) > count:
            raise self.refusal(node, f"{function.__name__} takes other arguments", f"{', '.join(names)}")
        return [given[name] for name in names]
