"""Times of a coarse clock, spread over the time that one tick of it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

__all__ = ["spread_ticks"]


def spread_ticks(
    times: Iterator[int], tick_ns: int, generator: np.random.Generator, after_last: Callable[[], int]
) -> Iterator[int]:
    """Every time, moved at random to somewhere within its tick; the order stays.

    Requests of one tick are uniform over it, as the arrivals of a Poisson process are that were only counted.
    Nothing moves beyond the next time.

    Args:
        times: Ascending times in ns.
        tick_ns: What the clock counts.
        generator: Draws.
        after_last: Asked for how far the last time may move at most, when it is reached.
    """
    tied, count = next(times, None), 1
    while tied is not None:
        following = next(times, None)
        if following == tied:
            count += 1
            continue
        room = after_last() if following is None else following - tied
        drawn = np.sort(generator.integers(0, max(1, min(tick_ns, room)), count))
        yield from (drawn + tied).tolist()
        tied, count = following, 1
