"""Times of a coarse clock, spread over the time that one tick of it stands for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["spread_ticks"]


def spread_ticks(times: Iterator[int], tick_ns: int, generator: np.random.Generator) -> Iterator[int]:
    """Every time, moved at random to somewhere within its tick; the order stays.

    Requests of one tick are uniform over it, as the arrivals of a Poisson process are that were only counted.
    Nothing moves beyond the next time.

    Args:
        times: Ascending times in ns.
        tick_ns: What the clock counts.
        generator: Draws.
    """
    tied, count = next(times, None), 1
    while tied is not None:
        following = next(times, None)
        if following == tied:
            count += 1
            continue
        room = tick_ns if following is None else min(tick_ns, following - tied)
        drawn = np.sort(generator.integers(0, room, count))
        yield from (drawn + tied).tolist()
        tied, count = following, 1
