"""Documents with values that nothing can be drawn of are one line, whatever and wherever they are."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.results.reading import ResultError

Make = Callable[..., dict[str, Any]]

WRONG: list[Any] = [-1, 0, 1e300, float("inf"), float("nan"), 2**70, "x", "\ud800", None, True, [], {}]
WRONG += [[None], {"a": -1.0}]


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*place, key))


def _altered(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    part = changed
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return changed


def _complaint(document: Any) -> str | None:
    try:
        build_report([document], names=["r.json"]).encode()
    except ResultError as error:
        return str(error)
    return None


@pytest.mark.parametrize("seed", range(40))
def test_one_altered_value_is_drawn_or_refused_in_one_line(make_document: Make, seed: int) -> None:
    chance = random.Random(seed)
    document = make_document()
    places = [place for place in _places(document) if place]
    for _ in range(4):
        altered = _altered(document, chance.choice(places), chance.choice(WRONG))
        complaint = _complaint(altered)
        assert complaint is None or ("\n" not in complaint and "r.json" in complaint)


def test_a_deadline_that_is_none_is_named(make_document: Make) -> None:
    document = make_document()
    document["tenants"][0]["deadline_ms"] = -1
    with pytest.raises(ResultError, match=r"r\.json: key 'tenants\.0\.deadline_ms': -1 is impossible"):
        build_report([document], names=["r.json"])
