"""What is assumed of a node whose outputs no rule can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from layerweaver.frontend.node.registry import Operator
from layerweaver.frontend.node.values import Cause, Info, ShapeConflictError, UnknownShapeError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.resolve.onnx_inference import infer
from layerweaver.frontend.resolve.order import node_label
from layerweaver.ir.dtypes import DType

__all__ = ["Fitted", "Promised", "RefitError", "guess", "lower", "refit", "withdraw"]

Fitted: TypeAlias = "dict[str, tuple[tuple[int, ...], str]]"
"""Shapes of bounded values that fit a fixed size further down, each with the node that has it."""

_REFITS = 16
"""Most bounds that are lowered, each of which walks the graph once more."""


class RefitError(Exception):
    """A bound was found to be too large: the graph is walked again with what fits."""


_CANDIDATES = 16
"""Most extents that a bound is compared with."""


@dataclass(frozen=True, slots=True)
class Promised:
    """What is said of a node's outputs before anything is inferred.

    Attributes:
        declared: As the file declares them, fresh values in the order of the outputs.
        pinned: Shapes given by the user, by name.
    """

    declared: Sequence[Info]
    pinned: Mapping[str, tuple[int, ...]]


def guess(call: Call, entry: Operator | None, promised: Promised, reason: str) -> Sequence[Info]:
    """Outputs as the file declares them, else as ONNX infers them, else of the first input's shape.

    The last only for operators that nobody knows: where a known operator's shape depends on data, the
    first input's is no guess at all and the shape stays unknown.
    """
    known = entry is not None and entry.shape is not None
    inferred = () if known else infer(call)
    outputs = []
    for place, name in enumerate(call.node.outputs):
        info = promised.declared[place]
        if name and info.shape is None and place < len(inferred) and inferred[place] is not None:
            info = inferred[place] or info
        if name and info.shape is None and name not in promised.pinned:
            first = next(
                (found for found in call.inputs if found is not None and found.shape is not None), None
            )
            if not known and first is not None:
                what = f"{reason}; {name} is taken to be of its first input's shape"
                call.note(what)
                info.shape, info.guessed = first.shape, True
                info.cause = Cause(f"{node_label(call.node)}: {what}", f"give --shape {name}=...")
        elif name and not known:
            call.note(f"{reason}; the shape of {name} is taken as declared")
        if info.dtype is DType.UNDEFINED:
            info.dtype = next((found.dtype for found in call.inputs if found is not None), info.dtype)
        outputs.append(info)
    return outputs


def withdraw(
    call: Call, entry: Operator | None, promised: Promised, conflict: ShapeConflictError
) -> Sequence[Info] | None:
    """Give up guessed and bounded shapes that do not fit ``call``; None when all its inputs are certain.

    What was guessed or bounded was warned about, so this is one warning more and no error.
    """
    doubtful = [info for info in call.inputs if info is not None and (info.guessed or info.upper)]
    if not doubtful:
        return None
    guessed = any(info.guessed for info in doubtful)
    fitting = None if guessed or entry is None else _fitted(call, entry, doubtful)
    if fitting is not None:
        names, shape = ", ".join(info.name for info in doubtful), text(doubtful[0].shape or ())
        call.note(f"{conflict}; {names} had been bounded and is taken as {shape}, which fits")
        return fitting
    for info in doubtful:
        info.shape = info.value = None
    names = ", ".join(info.name for info in doubtful)
    assumed = "guessed" if guessed else "bounded"
    call.note(f"{conflict}; the shape of {names} had been {assumed} and is taken as unknown")
    return guess(call, entry, promised, str(conflict))


def refit(call: Call, entry: Operator | None, infos: Mapping[str, Info], fitted: Fitted) -> None:
    """Trace what makes ``call`` fit back to the value whose bound it follows from.

    Raises:
        RefitError: That value has one shape that fits; it is in ``fitted`` now.
    """
    doubtful = [info for info in call.inputs if info is not None and (info.guessed or info.upper)]
    if entry is None or not doubtful or any(info.guessed for info in doubtful):
        return
    before = doubtful[0].shape
    if _fitted(call, entry, doubtful) is None:
        return
    after = doubtful[0].shape
    for info in doubtful:
        info.shape = before
    if len({info.cause.root if info.cause is not None else "" for info in doubtful}) == 1:
        old, new = next(
            (pair for pair in zip(before or (), after or (), strict=True) if pair[0] != pair[1]), (1, 1)
        )
        lower(doubtful[0], old, new, where=node_label(call.node), infos=infos, fitted=fitted)


def lower(info: Info, old: int, new: int, *, where: str, infos: Mapping[str, Info], fitted: Fitted) -> None:
    """Lower the bound that ``info`` follows from in the proportion of ``new`` to ``old`` extents or elements.

    Raises:
        RefitError: The bounded value has one shape that fits; it is in ``fitted`` now.
    """
    root = info.cause.root if info.cause is not None else ""
    bound = infos[root].shape if root in infos else None
    if bound is None or root in fitted or len(fitted) >= _REFITS or not 0 <= new < old:
        return
    shapes = [
        (*bound[:axis], extent * new // old, *bound[axis + 1 :])
        for axis, extent in enumerate(bound)
        if extent * new % old == 0
    ]
    if len(shapes) == 1:
        fitted[root] = (shapes[0], where)
        raise RefitError


def _fitted(call: Call, entry: Operator, doubtful: Sequence[Info]) -> Sequence[Info] | None:
    """Outputs when bounds are lowered to the one extent of the certain inputs that makes the node fit.

    The shapes of ``doubtful`` are then what fits; None, and they are as before, when there is no such
    extent or more than one.
    """
    bound = doubtful[0].shape
    if entry.shape is None or bound is None or any(info.shape != bound for info in doubtful):
        return None
    certain = [info.shape for info in call.inputs if info is not None and not info.upper and info.shape]
    sizes = {extent for shape in certain for extent in shape}
    if call.op == "Split" and (parts := call.value(1)) is not None:
        sizes.add(int(parts.sum()))
    extents = sorted(sizes)[:_CANDIDATES]
    found: list[tuple[tuple[int, ...], Sequence[Info]]] = []
    notes = list(call.notes)
    for axis, most in enumerate(bound):
        for extent in extents:
            if extent >= most:
                continue
            trial = (*bound[:axis], extent, *bound[axis + 1 :])
            for info in doubtful:
                info.shape = trial
            try:
                found.append((trial, entry.shape(call)))
            except (ShapeConflictError, UnknownShapeError, ValueError, IndexError, ZeroDivisionError):
                continue
    call.notes[:] = notes
    chosen = found[0][0] if len(found) == 1 else bound
    for info in doubtful:
        info.shape = chosen
    return found[0][1] if len(found) == 1 else None
