"""State: graph inputs that feed back from graph outputs (KV caches, recurrent state).

A pair is found by name (``past_key_values.0.key`` and ``present.0.key``, ``h`` and ``hn``, ``state`` and
``stateN``, ...) when both have the same element type and the same shape, or shapes that differ in the one
axis along which a cache grows; or by an attention operator that reads it as past and writes it as present;
or by structure, when a Concat extends an input that nothing else reads and attention reads the result, an
output is as large a part of it, or an output stacks what several layers extended (see
:mod:`layerweaver.frontend.lowering.caches`); or it is given. What is read is the whole input; what is written
is the whole output of equal shape, or the new rows of a cache, which an NPU appends in place (*ours*).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from layerweaver.frontend.lowering.caches import grown_caches, is_longer, stacked_caches
from layerweaver.frontend.node.resolved import ResolvedGraph
from layerweaver.frontend.node.values import Info, text
from layerweaver.ir import ModelError

__all__ = ["state_pairs"]

_STATEFUL = re.compile(
    r"(?:^|[._/:\-]|(?<=[a-z0-9]))(?:past|cache|caches|state|states|hidden|cell|memory|mems?|kv|carry|rnn|lstm|gru)"
    r"(?:$|[._/:\-]|(?=[0-9A-Z]))",
    re.IGNORECASE,
)
_SHORT = re.compile(r"[hc](?:x|_?\d+|_?prev|_?in)?", re.IGNORECASE)

_STATEFUL_OPERATORS: Mapping[tuple[str, str], tuple[tuple[int, int], ...]] = {
    ("", "Attention"): ((4, 1), (5, 2)),
    ("", "LinearAttention"): ((3, 1),),
    ("", "CausalConvWithState"): ((3, 1),),
    ("", "TensorScatter"): ((0, 0),),
    ("com.microsoft", "Attention"): ((4, 1),),
    ("com.microsoft", "QAttention"): ((8, 1),),
    ("com.microsoft", "MultiHeadAttention"): ((6, 1), (7, 2)),
    ("com.microsoft", "DecoderMaskedMultiHeadAttention"): ((5, 1), (6, 2)),
    ("com.microsoft", "GroupQueryAttention"): ((3, 1), (4, 2)),
    ("com.microsoft", "SparseAttention"): ((3, 1), (4, 2)),
    ("com.microsoft", "DynamicSparseAttention"): ((3, 1), (4, 2)),
    ("com.microsoft", "PagedAttention"): ((3, 1), (4, 2)),
    ("com.microsoft", "SparsePagedAttention"): ((3, 1), (4, 2)),
    ("com.microsoft", "DecoderMaskedSelfAttention"): ((4, 1),),
    ("com.microsoft", "DecoderAttention"): ((6, 1), (7, 2)),
    ("com.microsoft", "LinearAttention"): ((3, 1),),
    ("com.microsoft", "GatedDeltaNet"): ((6, 1),),
    ("com.microsoft", "CausalConvWithState"): ((3, 1),),
    ("com.microsoft", "VarlenCausalConvWithState"): ((4, 1),),
}
"""Operand that holds the past and result that holds the present, per stateful operator."""

_REPLACEMENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"past_key_values", ("present", "present_key_values")),
    (r"past", ("present", "new_past", "next")),
    (r"prev(?:ious)?", ("next", "new", "cur", "current")),
    (r"old", ("new",)),
    (r"initial", ("final",)),
    (r"init", ("final", "last")),
    (r"(?<![a-z])in(?:put)?(?![a-z])", ("out", "output", "new", "next")),
    (r"^i(?=_)", ("o",)),
    (r"_?0$", ("n", "_n", "N", "_N", "_out")),
    (r"0_", ("n_",)),
)
_SUFFIXES = ("n", "N", "_n", "_N", "_out", "_output", "_new", "_next", "out", "Out", ".1", "_1", "_final")
_PREFIXES = ("new_", "next_", "out_", "output_", "updated_", "present_", "n", "new", "o")


def _candidates(name: str) -> Iterable[str]:
    """Names that the output fed back into input ``name`` may have, likeliest first."""
    for pattern, replacements in _REPLACEMENTS:
        for replacement in replacements:
            changed, count = re.subn(pattern, replacement, name, flags=re.IGNORECASE)
            if count:
                yield changed
    for suffix in _SUFFIXES:
        yield name + suffix
    for prefix in _PREFIXES:
        yield prefix + name


def _compatible(before: Info, after: Info) -> bool:
    if before.dtype != after.dtype or before.shape is None or after.shape is None:
        return False
    return before.shape == after.shape or is_longer(before.shape, after.shape)


def state_pairs(graph: ResolvedGraph, given: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
    """Inputs that carry state, with the resolved name of the output that each is fed from.

    Args:
        graph: The bound graph.
        given: Pairs of input and output names that the user states.

    Returns:
        Mapping of input to output; both resolved names.

    Raises:
        ModelError: If a stated name does not exist or a stated pair has different element types.
    """
    outputs = dict(zip(graph.output_aliases, graph.outputs, strict=True))
    pairs: dict[str, str] = {}
    grown = list(grown_caches(graph))
    for source, target in given:
        if source in pairs:
            raise ModelError(
                f"state {source!r} is fed by two outputs", where=graph.source, accepted="one of them"
            )
        pairs[_stated(graph, source, graph.inputs, "input")] = outputs[
            _stated(graph, target, graph.output_aliases, "output")
        ]
        if graph.values[source].dtype != graph.values[outputs[target]].dtype:
            raise ModelError(
                f"state {source!r} is {graph.values[source].dtype} and {target!r} is "
                f"{graph.values[outputs[target]].dtype}",
                where=graph.source,
                accepted="a pair of equal element types",
            )
        before, after = graph.values[source], graph.values[outputs[target]]
        if not _compatible(before, after) and (source, outputs[target]) not in grown:
            raise ModelError(
                f"state {source!r} is {_shown(before)} and {target!r} is {_shown(after)}",
                where=graph.source,
                accepted="a pair of one shape, or an output longer in the axis along which a cache grows",
            )
    taken = set(pairs.values())
    if len(taken) < len(pairs):
        twice = next(output for output in pairs.values() if list(pairs.values()).count(output) > 1)
        names = " and ".join(repr(name) for name, output in pairs.items() if output == twice)
        raise ModelError(
            f"states {names} are both fed by output {twice!r}",
            where=graph.source,
            accepted="an output of its own for every state",
        )
    lower = {name.lower(): name for name in reversed(graph.output_aliases)}
    for name in graph.inputs:
        if name in pairs or not (_STATEFUL.search(name) or _SHORT.fullmatch(name)):
            continue
        value = graph.values[name]
        for candidate in _candidates(name):
            output = outputs.get(lower.get(candidate.lower(), ""))
            if output is None or output in taken or output == name:
                continue
            if _compatible(value, graph.values[output]):
                pairs[name] = output
                taken.add(output)
                break
    _pair_by_operator(graph, pairs, taken)
    for name, output in (*grown, *stacked_caches(graph)):
        if output and name not in pairs and output not in taken:
            pairs[name] = output
            taken.add(output)
    return pairs


def _shown(info: Info) -> str:
    return "of unknown shape" if info.shape is None else text(info.shape)


def _stated(graph: ResolvedGraph, name: str, known: Sequence[str], what: str) -> str:
    if name not in known:
        listed = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
        raise ModelError(
            f"state names {what} {name!r}, which the model does not have",
            where=graph.source,
            accepted=f"one of {listed}",
        )
    return name


def _pair_by_operator(graph: ResolvedGraph, pairs: dict[str, str], taken: set[str]) -> None:
    """Pair what stateful operators read as past and write as present, whatever it is called."""
    inputs, outputs = set(graph.inputs), set(graph.outputs)
    for resolved in graph.nodes:
        node = resolved.node
        for past, present in _STATEFUL_OPERATORS.get((node.domain, node.op_type), ()):
            if past >= len(node.inputs) or present >= len(node.outputs):
                continue
            name, output = node.inputs[past], node.outputs[present]
            if name in inputs and output in outputs and name not in pairs and output not in taken:
                pairs[name] = output
                taken.add(output)
