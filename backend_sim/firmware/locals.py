"""The locals of a translated function: what each stands for, between which bounds, and who reads it."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from types import FunctionType

from layerweaver.backend_sim.firmware.c_words import POINTED, address, c_type, identifier, unbracketed
from layerweaver.backend_sim.firmware.expressions import Expressions
from layerweaver.backend_sim.firmware.spans import INT32, TIME, Number, Span, constant
from layerweaver.backend_sim.firmware.things import Layout, Pointed, Seen, Thing

__all__ = ["Locals"]

_WORD = re.compile(r"[A-Za-z_]\w*")
_FIELD = re.compile(r"(?:->|\.)([A-Za-z_]\w*)")
_OWN_FIELD = re.compile(r"(->|\.)\w+$")
_EXACT_PASSES = 4


class Locals(Expressions):
    """Names of one function, and the lines that are written.

    A local is an integer, a pointer to a record, or another name for what is known already. One that nothing
    reads is not written either.

    Args:
        function: The function.
        layout: Where fields are.
        kinds: Of every parameter, what it is given.
        looped: Names that only for loops write, and that only these loops read.
    """

    def __init__(
        self, function: FunctionType, layout: Layout, kinds: dict[str, Thing], looped: frozenset[str]
    ) -> None:
        super().__init__(function, layout)
        self.changed = False
        self.passes = 0
        self.lists_used = False
        self.is_root = False
        self._parameters = list(kinds)
        self._locals: dict[str, Thing] = {}
        self._spans: dict[str, Span] = {}
        self._kinds: dict[str, str] = {}
        self._looped = looped
        self._alive: set[str] | None = None
        self._depth = 1
        for parameter, kind in kinds.items():
            self._bind_parameter(parameter, kind)
        self._begin()

    def _begin(self) -> None:
        """Begin a pass."""
        self._lines: list[str] = []
        self._reads: list[tuple[str, str]] = []
        self._declared: set[str] = set()
        self._touched: set[str] = set()
        self._temporaries = 0

    def _widened(self, after: Span, before: Span) -> Span:
        """Bounds that grew; after some passes they grow to the next bound of interest at once."""
        return after.widened(before) if self.passes > _EXACT_PASSES else after

    def _bind_parameter(self, name: str, kind: Thing) -> None:
        match kind:
            case Number(span=span, kind=known):
                self._spans[name] = span
                self._kinds[name] = known
                self._locals[name] = constant(0)
            case Pointed(record=record) if record in POINTED:
                self._locals[name] = Pointed(record, f"{identifier(name)}->")
            case Seen():
                self._locals[name] = Seen("ready", "spare")
            case _:
                self._locals[name] = kind

    def _use_lists(self) -> None:
        if not self.lists_used:
            self.lists_used = self.changed = True

    def _is_fixed(self, name: str) -> bool:
        """Whether every caller gives a parameter the same value: then it is written where it is used."""
        return not self.is_root and self._spans[name].low == self._spans[name].high

    @property
    def fields_mentioned(self) -> set[str]:
        """Every name that stands behind a dot or an arrow where it is read."""
        return {found for _, text in self._reads for found in _FIELD.findall(text)}

    def _mentioned_locals(self) -> set[str]:
        """Locals that another line than those that write them reads."""
        words: dict[str, set[str]] = {}
        for owner, text in self._reads:
            for word in _WORD.findall(text):
                words.setdefault(word, set()).add(owner)
        return {
            name
            for name in self._locals
            if any(words.get(item, set()) - {name} for item in self._c_names(name))
        }

    def _c_names(self, name: str) -> tuple[str, ...]:
        plain = identifier(name)
        thing = self._locals[name]
        return (thing.ready, thing.spare) if isinstance(thing, Seen) else (plain,)

    @property
    def _used_locals(self) -> set[str]:
        return {
            name
            for name, thing in self._locals.items()
            if name not in self._parameters
            and name not in self._looped
            and not self._drops(name)
            and (
                isinstance(thing, (Number, Seen)) or (isinstance(thing, Pointed) and thing.record in POINTED)
            )
        }

    def _declare(self, name: str) -> str:
        match self._locals[name]:
            case Pointed(record=record):
                return f"{POINTED[record]} *{identifier(name)} = 0;"
            case Seen(ready=ready, spare=spare):
                return f"lw_tenant *{ready} = 0; lw_tenant *{spare} = 0;"
        return f"{c_type(self._spans[name])} {identifier(name)} = 0;"

    def _grow(self, name: str, span: Span) -> None:
        before = self._spans.get(name)
        after = span if before is None else before.join(span)
        if before is not None:
            after = self._widened(after, before)
        if after != before:
            self._spans[name] = after
            self.changed = True

    def local(self, name: str) -> Thing | None:
        """What a local name stands for."""
        thing = self._locals.get(name)
        if thing is None:
            return None
        if isinstance(thing, Number):
            span, kind = self._spans[name], self._kinds.get(name, "")
            if span.low == span.high:
                return replace(constant(span.low, boolean=thing.boolean), kind=kind)
            wide = not INT32.holds(span)
            return Number(identifier(name), span, wide=wide, boolean=thing.boolean, kind=kind)
        return thing

    def _emit(self, line: str) -> None:
        self._lines.append("    " * self._depth + line)
        self._reads.append(("", line))

    def _emit_store(self, target: str, text: str, local: str = "", kind: str = "") -> None:
        """Write something; only what is on the right counts as read, and not by the local itself."""
        self._lines.append("    " * self._depth + f"{kind}{target} = {text};")
        owner = "" if local else _OWN_FIELD.sub("", target)
        self._reads.append((local, f"{text} {owner}"))

    def _only_call(self, number: Number) -> None:
        """Write the calls of a number that nothing reads."""
        if number.calls:
            self._emit(f"(void){number.text};")

    def _temporary(self) -> str:
        self._temporaries += 1
        return self._free(f"result{self._temporaries}")

    def _free(self, name: str) -> str:
        """A name that no local has."""
        while name in self.function.__code__.co_varnames:
            name += "_"
        return name

    def _drops(self, name: str) -> bool:
        """Whether nothing reads a local: then neither is it written."""
        return self._alive is not None and name not in self._alive and name in self._locals

    def _joined_kind(self, known: str, number: Number) -> str:
        """The kind of what holds a number beside numbers of a kind: of times, any other becomes a time."""
        if TIME in (known, number.kind):
            return TIME
        return known if known == number.kind else ""

    def _in_kind_of(self, name: str, number: Number) -> Number:
        """A number as a local keeps it."""
        known = self._kinds.get(name)
        kind = number.kind if known is None else self._joined_kind(known, number)
        if name in self._parameters and kind == TIME:
            kind = str(known)  # callers give what it was
        if kind != known:
            self.changed = self.changed or known is not None
            self._kinds[name] = kind
        return self._as_kind(number, kind)

    def _bind(self, node: ast.AST, name: str, thing: Thing) -> None:
        known = self._locals.get(name)
        match thing:
            case Number():
                if known is not None and not isinstance(known, Number):
                    raise self.refusal(node, f"{name} is a number here and none elsewhere", "another name")
                boolean = thing.boolean and (known is None or known.boolean)
                if known is not None and known.boolean != boolean:
                    self.changed = True
                self._locals[name] = constant(0, boolean=boolean)
                thing = self._in_kind_of(name, thing)
                self._grow(name, thing.span)
                self._store(name, thing)
            case Pointed(record=record, text=text) if record in POINTED:
                if known is not None and not (isinstance(known, Pointed) and known.record == record):
                    raise self.refusal(node, f"{name} is a {record} here and none elsewhere", "another name")
                self._locals[name] = Pointed(record, f"{identifier(name)}->")
                self._write_local(name, f"{POINTED[record]} *", identifier(name), address(text))
            case Seen(ready=ready, spare=spare):
                own = Seen(f"{identifier(name)}_ready", f"{identifier(name)}_spare")
                self._locals[name] = own
                kind = ""
                if self._depth == 1 and name not in self._touched:
                    self._declared.add(name)
                    kind = "lw_tenant *"
                self._touched.add(name)
                self._emit(f"{kind}{own.ready} = {ready};")
                self._emit(f"{kind}{own.spare} = {spare};")
            case _:
                if known is not None and known != thing:
                    raise self.refusal(node, f"{name} stands for different things", "another name")
                self._locals[name] = thing

    def _store(self, name: str, number: Number) -> None:
        span = self._spans[name]
        kind = c_type(span)
        if span.low == span.high and not number.calls:
            return  # readers write the constant itself
        if self._drops(name):
            self._only_call(number)
            return
        self._write_local(
            name, f"{kind} ", identifier(name), unbracketed(number.as_type(not INT32.holds(span)))
        )

    def _write_local(self, name: str, kind: str, target: str, text: str) -> None:
        if self._drops(name):
            return
        if self._depth == 1 and name not in self._touched and name not in self._parameters:
            self._declared.add(name)
            self._touched.add(name)
            self._emit_store(target, text, name, kind)
            return
        self._touched.add(name)
        if target != text:
            self._emit_store(target, text, name)
