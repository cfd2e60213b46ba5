"""Statements: branches, loops, calls and returns."""

from __future__ import annotations

import ast
from types import FunctionType

from layerweaver.backend_sim.firmware.assignments import Assignments, Result
from layerweaver.backend_sim.firmware.c_words import bracketed, c_type, identifier, unbracketed
from layerweaver.backend_sim.firmware.spans import INT32, Number, Span, constant
from layerweaver.backend_sim.firmware.things import Several

__all__ = ["Statements", "loop_only"]

_STATEMENTS = "assignments, if, for over range, while, break, continue and return"


class Statements(Assignments):
    """Translates statements.

    Where a branch is decided by constants of the scenario, only the one that is taken is written.
    """

    name: str
    result: Result
    bounds: Span | None = None

    def _block(self, body: list[ast.stmt]) -> bool:
        """Translate statements; whether none goes on behind them."""
        return any(self._statement(statement) for statement in body)

    def _inner(self, body: list[ast.stmt]) -> bool:
        self._depth += 1
        ended = self._block(body)
        self._depth -= 1
        return ended

    def _statement(self, node: ast.stmt) -> bool:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(node, target, value)
                    if isinstance(target, ast.Name):  # what is computed is computed once
                        value = ast.copy_location(ast.Name(target.id, ast.Load()), value)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                self._assign(node, target, value)
            case ast.AugAssign(target=target, op=op, value=value):
                loaded = ast.parse(ast.unparse(target), mode="eval").body
                ast.copy_location(loaded, target)
                combined = ast.copy_location(ast.BinOp(left=loaded, op=op, right=value), node)
                self._assign(node, target, ast.fix_missing_locations(combined))
            case ast.If(test=test, body=body, orelse=orelse):
                return self._branch(test, body, orelse)
            case ast.For():
                self._for(node)
            case ast.While(test=test, body=body, orelse=[]):
                return self._while(test, body)
            case ast.Return(value=value):
                self._return(node, value)
                return True
            case ast.Break():
                self._emit("break;")
                return True
            case ast.Continue():
                self._emit("continue;")
                return True
            case ast.Pass() | ast.AnnAssign() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Expr(value=ast.Call() as value):
                self._statement_call(value)
            case _:
                raise self.refusal(node, f"{type(node).__name__} is not translated", _STATEMENTS)
        return False

    def _statement_call(self, node: ast.Call) -> None:
        function = self._callee(node)
        if function is None:
            raise self.refusal(node, f"{ast.unparse(node.func)[:60]} cannot be called", "plain functions")
        callee, text = self._call_text(node, function)
        self._emit(f"(void){text};" if callee.result.spans else f"{text};")

    def _branch(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> bool:
        chosen = self.condition(test)
        if chosen.value is not None:
            return self._block(body if chosen.value else orelse)
        self._emit(f"if {bracketed(chosen.text)} {{")
        ended = self._inner(body)
        if orelse:
            self._emit("} else {")
            ended = self._inner(orelse) and ended
        else:
            ended = False
        self._emit("}")
        return ended

    def _while(self, test: ast.expr, body: list[ast.stmt]) -> bool:
        chosen = self.condition(test)
        if chosen.value == 0:
            return False
        endless = chosen.value is not None
        self._emit("for (;;) {" if endless else f"while {bracketed(chosen.text)} {{")
        self._inner(body)
        self._emit("}")
        return endless and not _breaks(body)

    def _for(self, node: ast.For) -> None:
        match node:
            case ast.For(
                target=ast.Name(id=name),
                iter=ast.Call(func=ast.Name(id="range"), args=bounds, keywords=[]),
                orelse=[],
            ) if bounds:
                pass
            case _:
                raise self.refusal(
                    node, f"for over {ast.unparse(node.iter)[:60]} is not translated", "for k in range(...)"
                )
        numbers = [self._absolute(self.number(bound)) for bound in bounds]
        first = constant(0) if len(numbers) == 1 else numbers[0]
        end = numbers[min(1, len(numbers) - 1)]
        step = numbers[2].value if len(numbers) > 2 else 1
        if not step:
            raise self.refusal(node, "a step that is no constant is not translated", "a constant step")
        span = Span(min(first.span.low, end.span.low + 1), max(first.span.high, end.span.high - 1))
        if step > 0:
            span = Span(first.span.low, max(first.span.low, end.span.high - 1))
        counted = Span(min(span.low, end.span.low), max(span.high, end.span.high) + abs(step))
        self._locals.setdefault(name, constant(0))
        self._grow(name, span)
        kind = c_type(counted)
        wide = not INT32.holds(counted)
        plain = name in self._looped and not _assigns(node.body, name)
        counter = identifier(name) if plain else self._free(f"{identifier(name)}_next")
        if end.value is None:
            limit = self._free(f"{identifier(name)}_end")
            bounds_text = f"{kind} {counter} = {first.as_type(wide)}, {limit} = {end.as_type(wide)}"
        else:
            limit, bounds_text = end.as_type(wide), f"{kind} {counter} = {first.as_type(wide)}"
        sign, by = "<" if step > 0 else ">", "++" if step == 1 else "--" if step == -1 else f" += {step}"
        self._emit(f"for ({bounds_text}; {counter} {sign} {limit}; {counter}{by}) {{")
        if not plain and name in self._used_locals:
            self._depth += 1
            self._store(name, Number(counter, counted, wide=wide))
            self._depth -= 1
        elif plain and wide != (not INT32.holds(self._spans[name])):
            self._grow(name, counted)
        self._inner(node.body)
        self._emit("}")

    def _return(self, node: ast.Return, value: ast.expr | None) -> None:
        if value is None or (isinstance(value, ast.Constant) and value.value is None):
            self._emit("return;")
            return
        if isinstance(value, ast.Call) and (function := self._callee(value)) is not None:
            self._return_call(node, value, function)
            return
        thing = self.thing(value)
        items = thing.items if isinstance(thing, Several) else (thing,)
        numbers = [item for item in items if isinstance(item, Number)]
        if len(numbers) < len(items) or not items:
            raise self.refusal(
                node, f"{ast.unparse(value)[:60]} is returned", "numbers, or a tuple of numbers"
            )
        texts = self._results(node, numbers, isinstance(thing, Several))
        if self.result.several:
            self._emit(f"return ({self.name}_result){{{', '.join(texts)}}};")
        else:
            self._emit(f"return {unbracketed(texts[0])};")

    def _return_call(self, node: ast.Return, value: ast.Call, function: FunctionType) -> None:
        callee, text = self._call_text(value, function)
        if not callee.result.spans:
            raise self.refusal(node, f"{function.__name__} returns nothing", "numbers")
        if not callee.result.several:
            parts = self._results(node, [callee.result.number(0, text, calls=True)], False)
            self._emit(f"return {parts[0]};")
            return
        taken = self._temporary()
        self._emit(f"{callee.name}_result {taken} = {text};")
        parts = self._results(node, callee.result.numbers(taken), True)
        self._emit(f"return ({self.name}_result){{{', '.join(parts)}}};")

    def _results(self, node: ast.AST, numbers: list[Number], several: bool) -> list[str]:
        """Take the bounds and kinds of results into account; their texts."""
        known = self.result.spans
        if len(numbers) == len(self.result.kinds):
            kinds = [self._joined_kind(*pair) for pair in zip(self.result.kinds, numbers, strict=True)]
        else:
            kinds = [item.kind for item in numbers]
        numbers = [self._as_kind(item, kind) for item, kind in zip(numbers, kinds, strict=True)]
        spans = [item.span for item in numbers]
        if self.bounds is not None:
            spans = [self.bounds]
        if known and (several != self.result.several or len(spans) != len(known)):
            raise self.refusal(
                node, "results of different number are returned", "the same number of results everywhere"
            )
        joined = [a.join(b) for a, b in zip(known, spans, strict=True)] if known else list(spans)
        joined = [self._widened(after, before) for after, before in zip(joined, known or joined, strict=True)]
        if joined != known or kinds != self.result.kinds:
            self.result.spans, self.result.several, self.changed = joined, several, True
            self.result.kinds = kinds
        return [item.as_type(not INT32.holds(span)) for item, span in zip(numbers, joined, strict=True)]


def _breaks(body: list[ast.stmt]) -> bool:
    """Whether a loop's body may leave it by a break of its own."""
    for statement in body:
        if isinstance(statement, ast.Break):
            return True
        if isinstance(statement, ast.If) and (_breaks(statement.body) or _breaks(statement.orelse)):
            return True
    return False


def _assigns(body: list[ast.stmt], name: str) -> bool:
    """Whether statements write a name."""
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for statement in body
        for node in ast.walk(statement)
    )


def loop_only(body: list[ast.stmt]) -> frozenset[str]:
    """Names that only for loops write, and that are only read within such a loop."""
    loops: dict[str, list[ast.For]] = {}
    stored: dict[str, int] = {}
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
                loops.setdefault(node.target.id, []).append(node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                stored[node.id] = stored.get(node.id, 0) + 1
    inside = {
        name: {id(node) for loop in found for node in ast.walk(loop)} | {id(loop.target) for loop in found}
        for name, found in loops.items()
    }
    everywhere = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return frozenset(
        name
        for name, found in loops.items()
        if stored[name] == len(found)
        and all(id(node) in inside[name] for node in everywhere if node.id == name)
    )
