"""What a calibration is worth, in words: against baselines, and what the worst networks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.calibration.extent import Extent
from layerweaver.costmodel.columns import LayerColumns

__all__ = ["shared_by_worst", "verdict"]

CLEARLY = 0.02
"""By so much a baseline has to be better before the structure is doubted."""
GOOD, USABLE = 0.10, 0.25
FEW = 8
"""Networks below which the verdict says that they are few."""
MOST_SHARED = 3


def verdict(
    extent: Extent, held_out_mape: float, baselines: Mapping[str, float], worst: Sequence[str], shared: str
) -> str:
    """One or two sentences.

    Args:
        extent: What was measured.
        held_out_mape: Error of the calibrated model on what its fit did not see.
        baselines: Held-out errors of the baselines by name.
        worst: The networks and layers with the largest errors.
        shared: What these have in common; empty where nothing stands out.
    """
    name, least = min(baselines.items(), key=lambda item: item[1])
    are_few = extent.networks + extent.layers < FEW
    few = f" Measurements of {extent.words} tell little of others." if are_few else ""
    if not extent.networks:
        few += " No network was timed whole, so what an inference costs beside its layers is not known."
    have = "it has" if len(worst) == 1 else "they share"
    tail = f"{few} Farthest off: {', '.join(worst)}" + (f"; {have} {shared}." if shared else ".")
    if least < held_out_mape - CLEARLY:
        return (
            f"The structure of this config does not explain the chip: {_WORDS[name]} is {least:.1%} off on "
            f"{extent.kinds} it did not see, the calibrated model {held_out_mape:.1%}.{tail}"
        )
    if held_out_mape <= GOOD:
        how = "The config explains the chip"
    elif held_out_mape <= USABLE:
        how = "The config is a rough guide to the chip"
    else:
        how = "No model tried here explains the chip"
    return (
        f"{how}: {held_out_mape:.1%} off on {extent.kinds} that the fit did not see; the best baseline "
        f"({_WORDS[name]}) is {least:.1%} off.{tail}"
    )


_WORDS = {
    "scale": "one factor on the uncalibrated model",
    "macs": "a line over multiply-accumulates",
    "regression": "a regression on seven sums",
}


def shared_by_worst(networks: Sequence[LayerColumns], errors: NDArray[np.float64]) -> tuple[list[int], str]:
    """The worst networks, and what they contain more often than the rest.

    Args:
        networks: All networks.
        errors: Held-out relative errors, shape (networks,).

    Returns:
        Indices of the worst, farthest off first, and a list of what they share in words.
    """
    size = np.abs(errors)
    order = np.argsort(-size, kind="stable")
    worst = [int(index) for index in order[: max(1, min(5, len(order) // 4))]]
    traits = [_traits(columns) for columns in networks]
    rest = [index for index in range(len(networks)) if index not in worst]
    shares = []
    for trait in sorted(set().union(*(traits[index] for index in worst))):
        among_worst = sum(trait in traits[index] for index in worst) / len(worst)
        among_rest = sum(trait in traits[index] for index in rest) / max(1, len(rest))
        if among_worst - among_rest >= 0.4:
            shares.append((among_rest - among_worst, trait))
    return worst, ", ".join(trait for _, trait in sorted(shares)[:MOST_SHARED])


def _traits(columns: LayerColumns) -> set[str]:
    """Operators and kinds of layers of a network."""
    found = {operator for layer in columns.graph.layers for operator in layer.operators}
    if columns.depthwise.any():
        found.add("depthwise convolutions")
    if ((columns.groups > 1) & ~columns.depthwise & columns.weighted).any():
        found.add("grouped convolutions")
    if columns.scores.any():
        found.add("attention")
    return found
