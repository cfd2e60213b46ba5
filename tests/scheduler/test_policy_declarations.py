"""What a policy declares is what a policy has: anything else is one line when its file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerweaver.ir import PolicyError
from layerweaver.scheduler.policies import load_policy

FILE = """from layerweaver.scheduler.policies.contract import PolicySpec


class Kept:
    taken: int{start}


def fails(given):
    raise KeyError("gone")


def choose(view, options, memory):
    return view.ready[0]


POLICY = PolicySpec({name}, choose, "a policy", memory=Kept{fields})
"""


def _file(folder: Path, fields: str = "", name: str = "'mine'", start: str = "") -> str:
    path = folder / "p.py"
    path.write_text(FILE.format(fields=f", {fields}" if fields else "", name=name, start=start))
    return str(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("overlap='no'", "overlap is 'no'; True or False"),
        ("checkpoints=1", "checkpoints is 1; True or False"),
        ("commit='never'", "commit is 'never'; 'late' or 'early'"),
        ("modes=()", "modes is (); one text or more, each once"),
        ("modes=('a', 'a')", "modes is ('a', 'a'); one text or more, each once"),
        ("modes='ab'", "modes is 'ab'; one text or more"),
        ("lone_mode=1", "lone_mode is 1; None, or the number of a mode, 0 to 0"),
        ("drops_hopeless=True", "drops_hopeless is True; a function of the options, such as lambda options"),
        ("defers_hopeless=lambda: True", "defers_hopeless is <function"),
        ("drops_hopeless=fails", "policy mine: drops_hopeless fails: KeyError: 'gone'"),
        ("prepare=3", "prepare is 3; a function of the tenants' profiles, or None"),
        ("common=3", "common is 3; a class with fields"),
        ("source=None", "source is None; a text"),
    ],
)
def test_a_field_of_another_kind(tmp_path: Path, fields: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(_file(tmp_path, fields))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["'a b'", "'../x'", "'a:b'", "''", "7"])
def test_a_name_that_cannot_be_given(tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyError, match=r"p\.py: name is .*; letters, digits and - \+ \. _"):
        load_policy(_file(tmp_path, name=name))


def test_what_is_remembered_starts_at_zero(tmp_path: Path) -> None:
    with pytest.raises(
        PolicyError, match=r"p\.py: Kept\.taken = 7: what is remembered starts at zero; leave"
    ):
        load_policy(_file(tmp_path, start=" = 7"))
    assert load_policy(_file(tmp_path, start=" = 0")).name == "mine"
    assert load_policy(_file(tmp_path, "common=type('C', (), {'__slots__': ('n',)})")).name == "mine"


def test_tables_that_cannot_be_prepared(tmp_path: Path) -> None:
    policy = load_policy(_file(tmp_path, "prepare=fails"))
    with pytest.raises(PolicyError, match="policy mine: prepare fails: KeyError: 'gone'"):
        policy.memory([])
