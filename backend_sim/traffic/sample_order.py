"""The order in which LoadGen takes samples: libstdc++'s ``std::shuffle`` on ``std::mt19937``, draw by draw.

``std::uniform_int_distribution`` is Lemire's method (Fast random integer generation in an interval, 2019):
a 32-bit draw times the range, its upper word is the result, and the lower word decides the rare draw
that is repeated. Where the square of a range fits 32 bits, one draw gives two positions. The order was
compared with samples that LoadGen 6.0 issued.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_SAMPLES", "issued_samples"]

MAX_SAMPLES = 2**24
"""Largest data set."""

_WORD = 2**32


class _Draws:
    """Draws of one ``mt19937``."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.MT19937()
        self._generator._legacy_seeding(seed % _WORD)
        self._pieces: list[int] = []

    def _word(self) -> int:
        if not self._pieces:
            self._pieces = self._generator.random_raw(4096)[::-1].tolist()
        return self._pieces.pop()

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit - 1``."""
        product = self._word() * limit
        if product % _WORD < limit:
            least = (_WORD - limit) % limit
            while product % _WORD < least:
                product = self._word() * limit
        return product // _WORD

    def shuffle(self, items: list[int]) -> None:
        """``std::shuffle``."""
        count = len(items)
        if count < 2:
            return
        if (_WORD - 1) // count < count:
            for place in range(1, count):
                _swap(items, place, self.below(place + 1))
            return
        place = 1
        if count % 2 == 0:
            _swap(items, place, self.below(2))
            place += 1
        while place < count:
            limit = place + 1
            both = self.below(limit * (limit + 1))
            _swap(items, place, both // (limit + 1))
            _swap(items, place + 1, both % (limit + 1))
            place += 2


def _swap(items: list[int], first: int, second: int) -> None:
    items[first], items[second] = items[second], items[first]


def issued_samples(
    samples: int, count: int, *, min_query_count: int, qsl_seed: int, sample_seed: int
) -> NDArray[np.int64]:
    """The samples of the first ``count`` queries with equal issue, shape (count,).

    The data set is loaded in an order shuffled under ``qsl_seed``. The generator of samples makes one shuffle
    that is thrown away and then as many as the least number of queries needs, each of the order before it;
    further queries begin again with the first.

    Args:
        samples: Samples of the data set.
        count: Queries.
        min_query_count: The least number of queries as stated, before it is padded to whole data sets.
        qsl_seed: ``qsl_rng_seed``; of both seeds the lowest 32 bits count.
        sample_seed: ``sample_index_rng_seed``.
    """
    loaded = list(range(samples))
    _Draws(qsl_seed).shuffle(loaded)
    draws = _Draws(sample_seed)
    draws.shuffle(list(range(samples)))
    order: list[int] = []
    present = list(range(samples))
    for _ in range(max(1, -(-min_query_count // samples))):
        draws.shuffle(present)
        order.extend(present)
    places = np.array(order, np.int64)[np.arange(count) % len(order)]
    return np.array(loaded, np.int64)[places]
