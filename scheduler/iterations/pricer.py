"""The rows of one iteration as any cost model prices them: plug-ins, and rules that no table holds.

Rows of weights are priced at the tokens of all members. Attention is priced for each group of equal members
(new and cached tokens the same), one group after the other (*ours*); a layer's fixed cycles count once.
Traffic is that of all members together. For equal members every number is that of the graph bound to their
sizes, as the cost model is given the same columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import TensorColumns
from layerweaver.costmodel.compute.analytical import Passes
from layerweaver.costmodel.dram import Traffic, channel_bytes, traffic
from layerweaver.costmodel.joins import JOIN
from layerweaver.costmodel.model import compute_costs, in_rows
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.ir import ConfigError
from layerweaver.ir.limits import MAX_MACS, MAX_QUANTITY
from layerweaver.scheduler.iterations.columns import IterationColumns, RowLayout
from layerweaver.scheduler.iterations.rows import BY, FEATURES, IterationRow, IterationRows, RowLabel

__all__ = ["PRICES", "RowPricer"]

IntArray = NDArray[np.int64]

PRICES = ("compute_cycles", "dram_bytes", "weight_bytes", "cache_bytes", "live_bytes", "tiles", "data_bytes")
"""What is told of a row: its compute, its traffic, what of it are weights, and what are keys and values read,
the activations alive, the tiles it is cut into, and what of its traffic is data, not the DRAM's latency."""

_CACHED = 5 + 2
"""Place of the cached tokens of all members among the terms."""

_ATTENTION, _SEQUENCES = BY.index("attention"), BY.index("sequences")
_COUNTED = (
    *("vector", "gathers", "state", "inputs", "outputs", "entering", "leaving"),
    *("own_types", "by_elements", "own_types_seen", "by_elements_seen", "joined"),
)
_MOST_KEPT = 1024
_COPIES = 16
"""Groups of equal members that are priced at once."""


class RowPricer:
    """Prices iterations of a decoder on one NPU.

    Args:
        rows: The decoder.
        config: The NPU.
        cache_bits: Bits of an element of keys and values.

    Raises:
        ConfigError: If the rows come from a file that says too little.
    """

    def __init__(self, rows: IterationRows, config: NpuConfig, cache_bits: int) -> None:
        unknown = not rows.labels or (
            _asks_what_is_joined(config) and any(row.joined is None for pair in rows.distinct for row in pair)
        )
        if unknown:
            raise ConfigError(
                f"{rows.name} was compiled by an older version, without what this NPU's cost model asks",
                where=config.name,
                accepted="compile it again",
            )
        self._config, self._cache_bits = config, cache_bits
        self._pinned = config.pin_of(rows.name) is not None
        kinds = [
            _labelled([kind[index] for index in rows.row_index], rows.labels, place)
            for place, kind in enumerate(rows.kinds)
        ]
        self._layouts = [RowLayout(rows.name, rows.layer_names, made, labels) for made, labels in kinds]
        self._attends = np.flatnonzero(self._layouts[0].by == _ATTENTION)
        self._products = [
            RowLayout(
                rows.name,
                *zip(*((rows.layer_names[i], made[i], labels[i]) for i in self._attends), strict=True),
            )
            if len(self._attends)
            else None
            for made, labels in kinds
        ]
        self._kept: dict[tuple[bytes, int | None, int], IntArray] = {}

    def is_countable(self, one: list[float], every: list[float], sizes: tuple[float, float, float]) -> bool:
        """Whether 64 bits hold whatever an iteration counts.

        Args:
            one: Largest values of the features of one member.
            every: Largest values of those that are summed.
            sizes: Most members, most new and most cached tokens of one.
        """
        most = np.array([*one, *every])
        for layout in self._layouts:
            if layout.most_extents(sizes).max(initial=0.0) > MAX_MACS:
                return False
            for name in _COUNTED:
                counts = np.abs(layout.terms(name).coefficients.astype(np.float64)) @ most
                if counts.max(initial=0.0) > MAX_QUANTITY:
                    return False
        return True

    def price(self, members: IntArray, budget: int | None, block: int) -> IntArray:
        """Price an iteration.

        Args:
            members: New tokens, cached tokens, and whether (0 or 1) a token is emitted, shape (members, 3).
            budget: Activations that may stay on chip, in bytes; None for all.
            block: Tokens of a block of the cache, which is read by whole blocks.

        Returns:
            Shape (rows, PRICES).

        Raises:
            ConfigError: If the cost model fails.
            ModelError: If a layer is too large for 64-bit arithmetic.
        """
        key = members.tobytes(), budget, block
        if key not in self._kept:
            while len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._price(members, budget, block)
        return self._kept[key]

    def _price(self, members: IntArray, budget: int | None, block: int) -> IntArray:
        new, past, emits = members.T
        tokens, emitting, count = int(new.sum()), int(emits.sum()), len(members)
        kind = (int(tokens == count) + 2 * int(count == 1)) % len(self._layouts)
        layout, products = self._layouts[kind], self._products[kind]
        groups = np.array(
            [
                (times, *pair)
                for pair, times in Counter(zip(new.tolist(), past.tolist(), strict=True)).items()
            ],
            np.int64,
        )
        features = _by_row(layout, new, past, count)
        emit = layout.by == _SEQUENCES if kind % 2 else layout.by != _ATTENTION
        features[:, emit, 5] = emitting
        columns = layout.at(features, np.array([[count, *groups[0, 1:]]]), tokens, max(1, emitting))
        compute = compute_costs(columns, self._config)
        cycles = compute.compute_cycles
        if emitting == 0:
            cycles = np.where(layout.by == _SEQUENCES, 0, cycles)
        passes, again = compute.passes or Passes.once(len(layout)), np.zeros(len(layout), np.int64)
        unequal = len(groups) > 1 and products is not None
        if unequal:
            assert products is not None
            busy, read, streamed = self._attention(products, groups, budget)
            cycles, inputs = cycles.copy(), passes.inputs.copy()
            at = self._attends
            cycles[at] = busy + compute.overhead_cycles[at]
            first = columns.inputs.first_of_layer(columns.inputs.tensor_bytes(self._config.activation_bits))[
                at
            ]
            inputs[at] = 1 + -(-read // np.maximum(first, 1))
            passes, again[at] = Passes(inputs, passes.weights), streamed
        moved = self._moved(columns, passes)
        spills = moved.spills
        if unequal:
            attends = layout.by == _ATTENTION
            spills = replace(
                spills,
                left_bytes=np.where(attends, 0, spills.left_bytes),
                right_bytes=np.where(attends, 0, spills.right_bytes),
            )
        dram = moved.fixed_bytes + spills.spilled_bytes(budget)
        if budget is not None:
            dram = dram + np.where(moved.activation_bytes > budget, again, 0)
        beyond = _read(layout, past, block) - features[2, :, _CACHED]
        cache, waits = self._cached(layout, "reads", features[2], beyond)
        kept, waits_of_kept = self._cached(layout, "writes", features[2], 0 * beyond)
        dram = dram + cache + kept
        data = dram - moved.waited_bytes(budget) - waits - waits_of_kept
        compute, pieces = in_rows(
            replace(compute, compute_cycles=cycles),
            moved.weight_bytes,
            dram,
            moved.stored_bytes(budget),
            self._config,
        )
        prices = np.stack(
            [
                compute.compute_cycles,
                dram,
                moved.weight_bytes,
                cache,
                moved.activation_bytes,
                pieces,
                data,
            ],
            axis=1,
        )
        if not 0 <= int(prices.min(initial=0)) <= int(prices.max(initial=0)) <= MAX_QUANTITY:
            raise ConfigError(f"a row costs less than 0 or more than {MAX_QUANTITY}", where=self._config.name)
        return prices

    def _moved(self, columns: IterationColumns, passes: Passes) -> Traffic:
        """Traffic without that of the cache, which has a width of its own."""
        none = np.zeros(0, np.int64)
        without = replace(columns, state=TensorColumns(none, none, none, len(columns.graph)))
        return traffic(without, self._config, passes, pinned=self._pinned)

    def _cached(
        self, layout: RowLayout, name: str, features: IntArray, beyond: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Channel bytes of keys and values per row, with so many tokens beyond the cached ones; latency."""
        terms = layout.terms(name)
        elements = terms.counts(features) + terms.coefficients[:, _CACHED] * beyond[terms.layer]
        tensors = TensorColumns(terms.layer, elements, terms.unit, len(layout))
        size = tensors.tensor_bytes(self._cache_bits)
        waits = tensors.per_layer(np.where(size > 0, self._config.request_bytes, 0))
        return channel_bytes(self._config, tensors, size), waits

    def _attention(
        self, products: RowLayout, groups: IntArray, budget: int | None
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Sums over the groups: cycles but for fixed ones, inputs read again, operands streamed again."""
        sums = np.zeros((3, len(products)), np.int64)
        for first in range(0, len(groups), _COPIES):
            part = groups[first : first + _COPIES]
            rows = [
                _by_row(products, np.full(1, new), np.full(1, past), int(times)) for times, new, past in part
            ]
            columns = products.at(np.concatenate(rows, axis=1), part, 0, 0)
            costs = compute_costs(columns, self._config)
            moved = self._moved(columns, Passes.once(len(columns.graph)))
            read, spills = np.zeros_like(costs.compute_cycles), moved.spills
            if costs.passes is not None:
                size = columns.inputs.tensor_bytes(self._config.activation_bits)
                read = (costs.passes.inputs - 1) * columns.inputs.first_of_layer(size)
            once = spills.input_bytes + spills.output_bytes
            streamed = read * 0
            if budget is not None:
                every = replace(spills, live_bytes=np.full_like(once, budget + 1))
                streamed = every.spilled_bytes(budget) - once
            found = np.array([costs.compute_cycles - costs.overhead_cycles, read, streamed])
            sums += found.reshape(3, len(part), len(products)).sum(axis=1)
        return sums[0], sums[1], sums[2]


def _asks_what_is_joined(config: NpuConfig) -> bool:
    """Whether a config's costs may depend on concatenations that are written in place."""
    return config.cost_model != "analytical" or (config.host is not None and JOIN in config.host.operators)


def _labelled(
    rows: list[IterationRow], labels: Sequence[RowLabel], kind: int
) -> tuple[list[IterationRow], list[RowLabel]]:
    """Rows of a kind of iterations with what else there is to say of them.

    What a layer lacks for one member alone leaves terms of nothing: their operators are not there.
    """
    single, alone = kind % 2 == 1, kind >= 2
    found, told = [], []
    for row, label in zip(rows, labels, strict=True):
        operators = label.single_operators if single else label.operators
        listed = label.single_listed if single else label.listed
        abreast = label.single_abreast if single else label.abreast
        pairs, left = list(zip(row.vector, operators, strict=True)) if row.vector else [], list(listed)
        there = [pair for pair in pairs if not alone or any(pair[0].coefficients)]
        for _, operator in (pair for pair in pairs if pair not in there and pair[1] in left):
            left.remove(operator)
        found.append(replace(row, vector=tuple(term for term, _ in there)))
        works = tuple(operator for _, operator in there)
        told.append(replace(label, operators=works, listed=tuple(left), abreast=abreast))
    return found, told


def _by_row(layout: RowLayout, new: IntArray, past: IntArray, count: int) -> IntArray:
    """Values of the polynomials' terms for every row, as :meth:`RowLayout.at` wants them."""
    whole = np.repeat(_features(new, past, count)[None], len(layout), axis=0)
    features = np.array([whole] * 3)
    for window in np.unique(layout.window[layout.window > 0]):
        for place, seen in ((0, np.minimum(past, window - new)), (2, np.minimum(past, window - 1))):
            features[place, layout.window == window] = _features(new, seen, count)
    return features


def _read(layout: RowLayout, past: IntArray, block: int) -> IntArray:
    """Cached tokens that every row reads, by whole blocks."""
    last = -(-past // block)
    read = np.full(len(layout), (last * block).sum())
    for window in np.unique(layout.window[layout.window > 0]):
        first = np.maximum(past - (window - 1), 0) // block
        read[layout.window == window] = ((last - first) * block).sum()
    return read


def _features(new: IntArray, past: IntArray, count: int) -> IntArray:
    """Values of the polynomials' terms over all members, or over so many equal ones."""
    most, deepest = int(new.max()), int(past.max())
    times = count if len(new) == 1 else 1
    sums = [times * int(values.sum()) for values in (new, past, new * past, new * new)]
    found = np.array([1, most, deepest, most * deepest, most * most, count, *sums], np.int64)
    assert len(found) == FEATURES
    return found
