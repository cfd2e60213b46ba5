"""Distributions in one line of text, for tables in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-:=+*#"


def sparkline(
    source: Sequence[float] | NDArray[Any] | Mapping[str, Any], *, width: int = 16, ascii_only: bool = False
) -> str:
    """A distribution as a row of bars; the highest bar is the most frequent bin, blanks are empty bins.

    Args:
        source: Values (negative ones, such as dropped requests, are left out), or a histogram with
            ``counts`` as :func:`~layerweaver.backend_sim.report.details.latency_histogram` gives it.
        width: Characters.
        ascii_only: Use characters that every terminal has.

    Returns:
        At most ``width`` characters; values are put into bins of equal ratio. Empty without values.
    """
    bars = _ASCII if ascii_only else _BARS
    if isinstance(source, Mapping):
        counts = np.asarray(source["counts"], dtype=np.float64)
        if not len(counts):
            return ""
        edges = np.unique(np.linspace(0, len(counts), min(width, len(counts)) + 1).astype(np.intp))
        counts = np.add.reduceat(counts, edges[:-1])
    else:
        values = np.asarray(source, dtype=np.float64)
        values = values[np.isfinite(values) & (values >= 0)]
        if not len(values):
            return ""
        logs = np.log(np.maximum(values, 1e-9))
        low, high = float(logs.min()), float(logs.max())
        counts = np.histogram(
            logs, bins=width if high > low else 1, range=(low, high if high > low else low + 1)
        )[0]
    top = counts.max()
    if top <= 0:
        return ""
    return "".join(
        " " if count == 0 else bars[min(len(bars) - 1, int(count / top * len(bars)))] for count in counts
    )
