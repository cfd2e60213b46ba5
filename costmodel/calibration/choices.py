"""Discrete choices and further parameters: taken where they pay for themselves in the penalised error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.calibration.fit import Fit, Target, fit
from layerweaver.costmodel.calibration.parameters import BASE, EXTRAS, HOST, Parameter, with_values
from layerweaver.costmodel.calibration.work import NetworkWork
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import ConvMapping, Split
from layerweaver.costmodel.npu.sections import SramConfig

__all__ = ["Choice", "Problem", "choose"]

FloatArray = NDArray[np.float64]
PRICE_OF_PARAMETER, PRICE_OF_CHANGE = 4.0, 1.0
"""What a further parameter, and another variant of the same size, has to gain in ``n log(objective)``.

The noise is unknown, and far larger than the fit assumes where the structure does not explain the chip.
"""
SMALLEST = 0.05
"""Objective per network below which nothing is left to gain."""
MAX_PASSES = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """A variant of the model.

    Attributes:
        changes: Config fields that differ from the file, as sorted pairs.
        free: Names of the free parameters.
    """

    changes: tuple[tuple[str, Any], ...]
    free: tuple[str, ...]


@dataclass(slots=True)
class Problem:
    """Networks, their latencies, and what may be varied.

    Attributes:
        config: The config as it is in the file.
        networks: Columns of the networks, and the index of the layer where only one was timed.
        target: Their latencies.
        parameters: Every parameter by name.
        asked: The free parameters if the user named them; None: :data:`BASE` and what pays of the rest.
        ahead: Whether transfers run ahead as far as the weight buffer allows, so that no layer waits for its
            own and ``overlap`` is no parameter.
    """

    config: NpuConfig
    networks: Sequence[tuple[LayerColumns, int | None]]
    target: Target
    parameters: dict[str, Parameter]
    asked: tuple[str, ...] | None
    ahead: bool = False
    _works: dict[tuple[tuple[str, Any], ...], NetworkWork] = field(default_factory=dict, init=False)

    def work(self, choice: Choice) -> NetworkWork:
        """The networks' work under a choice, computed once."""
        found = self._works.get(choice.changes)
        if found is None:
            varied = with_values(self.config, {}, dict(choice.changes))
            found = self._works[choice.changes] = NetworkWork.collect(self.networks, varied)
        return found

    def with_parameters(self, parameters: dict[str, Parameter]) -> Problem:
        """The same with other priors."""
        other = replace(self, parameters=parameters)
        other._works = self._works
        return other

    def start(self) -> Choice:
        """The file's own variant."""
        if self.asked is not None:
            return Choice((), self.asked)
        depthwise = any(bool(columns.depthwise.any()) for columns, _ in self.networks)
        unused = {"overlap"} if self.ahead else set()
        if not depthwise:
            unused.add("array.depthwise_macs_per_cycle")
        host = () if self.config.host is None else HOST
        return Choice((), tuple(name for name in BASE + host if name not in unused))


def _with_change(choice: Choice, name: str, value: Any) -> Choice:
    changes = {**dict(choice.changes), name: value}
    return replace(choice, changes=tuple(sorted(changes.items(), key=lambda item: item[0])))


def _neighbours(problem: Problem, choice: Choice) -> Iterator[Choice]:
    """Choices that differ in one thing."""
    if problem.asked is not None:
        return
    config = with_values(problem.config, {}, dict(choice.changes))
    array = config.array
    if array.split is not Split.TILES:
        other = {ConvMapping.IM2COL: ConvMapping.KERNEL_PASSES, ConvMapping.KERNEL_PASSES: ConvMapping.IM2COL}
        if array.fold_losses is not False:
            yield _with_change(choice, "array.conv_mapping", other[array.conv_mapping])
        yield _with_change(choice, "array.fold_losses", None if array.fold_losses is False else False)
    beside = None if config.vector.beside_array is False else False
    yield _with_change(choice, "vector.beside_array", beside)
    yield _with_change(choice, "shared_overheads", not config.shared_overheads)
    for buffer in ("activations", "weights") if problem.ahead else ("activations",):
        for factor in (0.25, 4.0):
            sram = _scaled(config, buffer, factor)
            if sram is not None and _allowed(problem.config, sram):
                yield _with_change(choice, *sram)
    for name in EXTRAS:
        free = tuple(other for other in choice.free if other != name)
        yield replace(choice, free=free if name in choice.free else (*choice.free, name))


def _scaled(config: NpuConfig, buffer: str, factor: float) -> tuple[str, float] | None:
    """A buffer's field and its size times a factor; None where it is not one of its own."""
    for name in (f"{buffer}_mb", f"{buffer}_mib"):
        size = getattr(config.sram, name)
        if size is not None:
            return f"sram.{name}", float(f"{size * factor:.6g}")
    return None


def _allowed(config: NpuConfig, change: tuple[str, float]) -> bool:
    """Whether a size is within four times the file's, either way."""
    name, size = change
    stated = getattr(SramConfig.model_validate(config.sram), name.split(".")[1])
    return bool(stated) and 0.2 < size / stated < 5


def choose(
    problem: Problem,
    target: Target,
    begin: tuple[Choice, Fit] | None = None,
    passes: int = MAX_PASSES,
    tell: Callable[[int], None] | None = None,
) -> tuple[Choice, Fit]:
    """Greedy search from the file's variant (or a given one) for the least penalised error.

    A further parameter has to pay without the network that gains most by it, too: what is odd about a single
    network is explained by many a parameter, and is then wrong of every other network.

    Args:
        problem: What may be varied.
        target: The latencies to explain.
        begin: Variant and fit to begin with.
        passes: At most so many changes.
        tell: Told the number of the pass that begins.
    """
    count = int((target.weight > 0).sum())

    def fitted(choice: Choice, near: Fit | None) -> Fit:
        free = [problem.parameters[name] for name in choice.free]
        return fit(problem.work(choice), target, free, None if near is None else _carried(free, near))

    def price(choice: Choice, found: Fit, spared: int | None = None) -> float:
        used = count if spared is None else count - 1
        objective = found.objective - (0.0 if spared is None else float(found.losses[spared]))
        likelihood = used * math.log(max(objective, SMALLEST * used))
        parameters = sum(name in EXTRAS for name in choice.free)
        changes = sum(value is not None for _, value in choice.changes)
        return likelihood + PRICE_OF_PARAMETER * parameters + PRICE_OF_CHANGE * changes

    def dearer(choice: Choice, one: Fit) -> float:
        whole = price(choice, one) - price(best, found)
        if len(choice.free) <= len(best.free):
            return whole
        gained = int(np.argmax(found.losses - one.losses))
        return max(whole, price(choice, one, gained) - price(best, found, gained))

    best = problem.start() if begin is None else begin[0]
    found = fitted(best, None if begin is None else begin[1])
    for number in range(passes):
        if tell is not None:
            tell(number)
        tried = [(choice, fitted(choice, found)) for choice in _neighbours(problem, best)]
        candidates = [(dearer(*one), index) for index, one in enumerate(tried)]
        if not candidates or min(candidates)[0] >= -1e-9:
            break
        best, found = tried[min(candidates)[1]]
    return best, found


def _carried(free: Sequence[Parameter], near: Fit) -> FloatArray:
    """Positions to begin at: those of another fit where it has them."""
    known = dict(zip((p.name for p in near.parameters), near.positions.tolist(), strict=True))
    return np.array([known.get(p.name, p.position(p.middle)) for p in free])
