"""Rows that a cost model prices, from compiled code: question and answer lie in arrays."""

from __future__ import annotations

import ctypes
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.iterations.costed import PricedCosts
from layerweaver.scheduler.iterations.pricer import RowPricer
from layerweaver.scheduler.machine.outside import outside

__all__ = ["ASKED", "Outside", "outside_of", "raise_failure"]

ASKED = 3
"""Numbers before the members in what is asked, and numbers of each member."""


class Outside:
    """A pricer as compiled code calls it.

    Args:
        pricer: The pricer.

    Attributes:
        address: Of the function that compiled code calls.
        failure: What the pricer raised; the run is of no use from there on.
    """

    def __init__(self, pricer: RowPricer) -> None:
        self._pricer = pricer
        self.address, self._kept = outside(self._answer)
        self.failure: BaseException | None = None

    def _answer(self, asked_at: int, prices_at: int) -> int:
        """Price what was asked; 1 if that failed."""
        try:
            members, budget, block = _at(asked_at, ASKED).tolist()
            asked = _at(asked_at, ASKED * (1 + members)).reshape(-1, ASKED)[1:]
            prices = self._pricer.price(asked, None if budget < 0 else budget, block)
            _at(prices_at, prices.size)[:] = prices.ravel()
        except BaseException as error:  # noqa: BLE001 - raised again as soon as compiled code returns
            self.failure = error
            return 1
        return 0


def _at(address: int, length: int) -> NDArray[np.int64]:
    return np.ctypeslib.as_array((ctypes.c_int64 * length).from_address(address))


_KNOWN: WeakKeyDictionary[PricedCosts, Outside] = WeakKeyDictionary()


def outside_of(costs: PricedCosts) -> Outside:
    """The pricer of some costs as compiled code calls it, for as long as the costs exist."""
    found = _KNOWN.get(costs)
    if found is None:
        found = _KNOWN[costs] = Outside(costs.pricer)
    return found


def raise_failure(costs: object) -> None:
    """Raise what pricing raised within compiled code, if anything."""
    found = _KNOWN.get(costs) if isinstance(costs, PricedCosts) else None
    if found is not None and found.failure is not None:
        failure, found.failure = found.failure, None
        raise failure
