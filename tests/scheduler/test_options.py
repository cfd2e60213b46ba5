"""Options of policies: what they may be, how they are stated, and as what ``choose`` gets them."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from enum import IntEnum
from typing import Any, Literal

import pytest

from layerweaver.ir import PolicyError
from layerweaver.scheduler.machine.view import Memory, View
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.policies.contract import PolicySpec
from layerweaver.scheduler.policies.options import within


class Order(IntEnum):
    """Numbers in no order, and a name of two words."""

    LAST_ONE = 7
    FIRST = -2


class Huge(IntEnum):
    """More than 64 bits."""

    MOST = 2**70


@dataclass(frozen=True, slots=True)
class Options:
    """One of every kind."""

    order: Order = Order.FIRST
    word: Literal["a", "b"] = "b"
    count: int = 3
    share: float = within(0, 1, 2)
    really: bool = True
    patience_us: float = 2


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """Any."""
    return view.ready[0]


SPEC = PolicySpec("mine", choose, "mine", options=Options)


def test_words_and_numbers_are_stated_and_given() -> None:
    policy = SPEC.configure(order="last-one", word="a", share=0.5)
    stated = {"order": "last-one", "word": "a", "count": 3, "share": 0.5, "really": True, "patience_us": 2.0}
    assert policy.as_options() == {**stated, "commit": "late"}
    record = policy.record(10**9)[0]
    given = {name: record[name].item() for name in record.dtype.names}
    assert given == {
        "commit": 0,
        "hides": 1,
        "order": 7,
        "word": 0,
        "count": 3,
        "share": 0.5,
        "really": 1,
        "patience_us": 2.0,
        "patience_cycles": 2000,
    }
    assert SPEC.configure(**policy.as_options()) == policy
    assert SPEC.configure(order=Order.LAST_ONE).record(1)[0]["order"] == 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order": "middle"}, "option order: 'middle' is not accepted; give last-one|first"),
        ({"order": 7}, "option order: '7' is not accepted"),
        ({"word": ["a"]}, "option word: .* is not accepted; give a|b"),
        ({"count": 1.5}, "option count: '1.5' is not accepted; give a whole number below 2"),
        ({"count": True}, "option count: 'True' is not accepted; give a whole number below 2"),
        ({"really": 1}, "option really: '1' is not accepted; give true or false"),
        ({"share": 3}, "option share: 3 is out of range; give 0 to 2"),
        ({"patience_us": -1}, "option patience_us: -1 is out of range; give 0 or more"),
        ({"cuont": 1}, "has no option 'cuont'; .*count"),
    ],
)
def test_a_value_that_does_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        SPEC.configure(**given)


@pytest.mark.parametrize(
    ("kind", "default", "message"),
    [
        (str, "a", "option x: is declared as str; an int, float, bool, IntEnum or Literal of strings"),
        (list, None, "option x: is declared as list"),
        (int | None, 3, "option x: is declared as int . None"),
        (Literal[1, 2], 1, "option x: is declared as Literal"),
        (Huge, Huge.MOST, "option x: is declared as Huge"),
        ("Nowhere", 1, "options: name 'Nowhere' is not defined"),
        (int, 2**80, "option x, its default: .* is not accepted; give a whole number below 2"),
        (float, float("nan"), "option x, its default: 'nan' is not accepted"),
        (Literal["a"], "b", "option x, its default: 'b' is not accepted; give a"),
        (Order, 3, "option x, its default: '3' is not accepted; give last-one|first"),
    ],
)
def test_what_is_no_option(kind: Any, default: Any, message: str) -> None:
    spec = PolicySpec("mine", choose, "mine", options=make_dataclass("Own", [("x", kind, default)]))
    with pytest.raises(PolicyError, match=message):
        spec.configure()


def test_what_is_no_set_of_options() -> None:
    for options, message in (
        (make_dataclass("Own", [("x", int)]), "is declared as int without a default"),
        (make_dataclass("Own", [("commit", int, 1)]), "cannot be called 'commit'"),
        (int, "options are no dataclass"),
    ):
        with pytest.raises(PolicyError, match=message):
            PolicySpec("mine", choose, "mine", options=options).configure()


@pytest.mark.parametrize("words", ["fcfs:a=100,b=true", "fcfs:a=1=2", "b=true"])
def test_options_that_are_not_parted_by_colons_are_told_so(words: str) -> None:
    with pytest.raises(PolicyError, match=r"is not of the form NAME.*options are parted by colons"):
        load_policy(words)


def test_an_option_that_is_given_twice_is_told_so() -> None:
    with pytest.raises(PolicyError, match=r"'layerweaver\+:margin_us=1:margin_us=2' has margin_us twice"):
        load_policy("layerweaver+:margin_us=1:margin_us=2")
