"""Policy files that are wrong give one line that names the file, whatever is wrong with them."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.engine import guarded
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.ir import PolicyError
from layerweaver.scheduler.policies import load_policy

FILE = """
from typing import Any
from layerweaver.scheduler.policies.contract import Memory, PolicySpec, View


def choose({arguments}) -> int:
    {body}


POLICY = PolicySpec("mine", choose, "a policy")
"""


def _refused(make_scenario: Any, path: Path, body: str, arguments: str) -> str:
    path.write_text(FILE.format(body=body, arguments=arguments), encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        simulate(make_scenario(duration_s=0.1), policy=str(path))
    text = str(caught.value)
    assert "\n" not in text
    assert "x1b" not in text
    assert "Failed in" not in text
    assert len(text) < 500
    return text


def test_a_wrong_signature(make_scenario: Any, tmp_path: Path) -> None:
    text = _refused(make_scenario, tmp_path / "p.py", "return 0", "view")
    assert "p.py: choose is not a function of three arguments" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return view.machine.nosuch", "p\u00e4.py line 7: does not compile: there is no field 'nosuch'"),
        (
            "return view.nosuch",
            "p\u00e4.py line 7: does not compile: View has no 'nosuch'; arithmetic, loops",
        ),
        ("return view.ready[options.nosuch]", "there is no field 'nosuch'"),
        ("pass", "choose returns an integer on every path"),
        ("return 'a'", "choose returns an integer on every path"),
        ("return 1.5", "does not compile: choose returns a float; choose returns an integer"),
        ("return sorted([view.ready[0]], key=lambda x: {x: 1}[x])[0]", "p\u00e4.py line 7: does not compile"),
        ("raise ValueError('boo')", "does not compile|fails: ValueError: boo"),
        (
            "import math; return view.ready[0]",
            "p\u00e4.py line 7: does not compile: an import inside a function",
        ),
        ("yield 0", "p\u00e4.py"),
        ("return view.ready['a']", "p\u00e4.py line 7: does not compile: numba has no getitem(array"),
        ("a = [0]; return view.ready[min(a)]", "line 7: does not compile: numba has no min(list("),
        (
            "x = {1: 2}; return view.ready[0]",
            "line 7: does not compile: a list, mapping, set or array is made, for which a decision has no",
        ),
        ("return 99", "chose a tenant that has no request"),
    ],
)
def test_a_wrong_rule(make_scenario: Any, tmp_path: Path, body: str, message: str) -> None:
    text = _refused(make_scenario, tmp_path / "p\u00e4.py", body, "view: View, options: Any, memory: Memory")
    assert any(part in text for part in message.split("|")), text


@pytest.mark.parametrize(
    ("heading", "body", "name"),
    [
        (
            "import random",
            "return view.ready[int(random.random() * view.machine.ready_count)]",
            "random.random",
        ),
        ("from random import randrange as pick", "return view.ready[pick(1)]", "pick"),
        ("import numpy as np", "return view.ready[np.random.randint(1)]", "np.random"),
        ("from numpy.random import randint", "return view.ready[randint(1)]", "randint"),
        ("import time", "return view.ready[int(time.time()) % 1]", "time.time"),
        (
            "import random\ndef helper(n):\n    return random.randrange(n)",
            "return view.ready[helper(1)]",
            "random",
        ),
    ],
)
def test_chance_is_refused(make_scenario: Any, tmp_path: Path, heading: str, body: str, name: str) -> None:
    path = tmp_path / "p.py"
    text = FILE.format(body=body, arguments="view: View, options: Any, memory: Memory")
    path.write_text(heading + text, encoding="utf-8")
    line = 1 + (heading + text)[
        : (heading + text).index(body if "helper" not in heading else "return random")
    ].count("\n")
    with pytest.raises(
        PolicyError, match=rf"p\.py: calls {name}\S* in line {line} of p\.py, so that no run"
    ) as caught:
        simulate(make_scenario(duration_s=0.1), policy=str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("helper", [False, True])
def test_a_function_without_a_way_out_is_refused(make_scenario: Any, tmp_path: Path, helper: bool) -> None:
    loop = "k = 0\n    while True:\n        k += 1"
    text = FILE.format(body="return pick(1)" if helper else loop, arguments="view, options, memory")
    path = tmp_path / "p.py"
    path.write_text(f"def pick(n):\n    {loop}\n{text}" if helper else text, encoding="utf-8")
    named = r"pick in line 1" if helper else r"choose in line 6"
    with pytest.raises(PolicyError, match=rf"{named} of p\.py never returns; a loop that ends"):
        simulate(make_scenario(duration_s=0.1), policy=str(path))


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_a_loop_that_does_not_end_is_told_from_a_slow_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load_policy("edf")
    monkeypatch.setattr(guarded, "is_of_others", lambda _: True)
    for seconds, patience_s, error in ((0.05, 60.0, KeyboardInterrupt), (60.0, 0.1, PolicyError)):
        monkeypatch.setattr(guarded, "PATIENCE_S", patience_s)
        ends = threading.Event()

        def slice_of(ends: threading.Event = ends, seconds: float = seconds) -> int:
            os.kill(os.getpid(), signal.SIGINT)
            ends.wait(seconds)
            return 0

        with pytest.raises(error):
            guarded.guarded(slice_of, (), policy, compiled=True)
        ends.set()


@pytest.mark.slow
@pytest.mark.parametrize("body", ["1 // 0", "1 % (view.machine.ready_count - view.machine.ready_count)"])
def test_a_division_by_zero_is_no_number(make_scenario: Any, tmp_path: Path, body: str) -> None:
    path, arguments = tmp_path / "p.py", "view: View, options: Any, memory: Memory"
    text = _refused(make_scenario, path, f"return view.ready[0] + {body}", arguments)
    assert "mine: fails: ZeroDivisionError: " in text
    assert "by zero in line 7 of p.py" in text


@pytest.mark.slow
def test_divisions_that_may_have_failed_are_all_named(make_scenario: Any, tmp_path: Path) -> None:
    half = "def half(n):\n    return n // 2\n\n\ndef none(n):\n    return 1 % n\n"
    body = "n = view.machine.ready_count\n    return view.ready[none(n - n) + half(1)]"
    path = tmp_path / "p.py"
    path.write_text(half + FILE.format(body=body, arguments="view, options, memory"), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"by zero in line (2 or 6|6 or 2) of p\.py$"):
        simulate(make_scenario(duration_s=0.1), policy=str(path))


@pytest.mark.slow
@pytest.mark.parametrize("until", ["", "view.machine.hold_until = 0; ", "view.machine.hold_until += 1; "])
def test_a_rule_that_holds_for_ever(make_scenario: Any, tmp_path: Path, until: str) -> None:
    body = f"{until}return -1"
    text = _refused(make_scenario, tmp_path / "p.py", body, "view: View, options: Any, memory: Memory")
    assert re.search(r"mine: holds for ever: tenant \w+ has a request at cycle \d+", text), text


@pytest.mark.slow
def test_an_error_while_it_runs(make_scenario: Any, tmp_path: Path) -> None:
    body = "if view.machine.now > 1000:\n        raise ValueError('boo')\n    return view.ready[0]"
    text = _refused(make_scenario, tmp_path / "p.py", body, "view: View, options: Any, memory: Memory")
    assert "mine: fails: ValueError: boo" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        "return view.ready[500]",
        "return view.ready[0] * min(1, view.heads[10**7].deadline)",
        "if view.machine.ready_count:\n        memory.tenants[99].taken = 1\n    return view.ready[0]",
    ],
)
def test_what_is_read_outside_of_an_array_is_no_number(make_scenario: Any, tmp_path: Path, body: str) -> None:
    text = FILE.format(body=body, arguments="view: View, options: Any, memory: Memory")
    text = text.replace('"a policy")', '"a policy", memory=Kept)') + "\n"
    path = tmp_path / "p.py"
    path.write_text(f"class Kept:\n    taken: int\n\n{text}", encoding="utf-8")
    with pytest.raises(
        PolicyError, match=r"fails: IndexError.* in line 1\d.* of p\.py; of view\.ready the first"
    ):
        simulate(make_scenario(duration_s=0.1), policy=str(path))


@pytest.mark.parametrize(
    "heading",
    ["", "say = print\n", "def shown(n):\n    print(n)\n    return n\n"],
    ids=["itself", "alias", "helper"],
)
def test_what_a_policy_prints_is_no_part_of_a_result(
    make_scenario: Any, tmp_path: Path, heading: str
) -> None:
    call = {"": "print(1)", "say": "say(1)"}.get(heading[:3], "shown(1)")
    text = FILE.format(body=f"{call}\n    return view.ready[0]", arguments="view, options, memory")
    path = tmp_path / "p.py"
    path.write_text(heading + text, encoding="utf-8")
    with pytest.raises(
        PolicyError, match=r"p\.py line \d+: prints, which compiled code does not; .*compiled=False"
    ):
        simulate(make_scenario(duration_s=0.1), policy=str(path))


def test_a_policy_prints_uncompiled(
    make_scenario: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.py"
    body = "print(view.machine.now)\n    return view.ready[0]"
    path.write_text(FILE.format(body=body, arguments="view, options, memory"), encoding="utf-8")
    simulate(make_scenario(duration_s=0.1), policy=str(path), compiled=False)
    assert capsys.readouterr().out.startswith("0\n")


@pytest.mark.parametrize("ends", ["raise SystemExit(3)", "exit()"])
def test_a_file_that_ends_the_program_is_told(tmp_path: Path, ends: str) -> None:
    path = tmp_path / "p.py"
    path.write_text(ends, encoding="utf-8")
    with pytest.raises(PolicyError, match=r"p\.py: does not load: SystemExit"):
        load_policy(str(path))


REMEMBERS = """from layerweaver.scheduler.policies.contract import PolicySpec


class Turns:
    taken: int


def choose(view, options, memory):
    memory.tenants[view.ready[0]].taken += 1
    view.machine.mode = 0
    {body}
    return view.ready[0]


POLICY = PolicySpec("turns", choose, "turns", memory=Turns)
"""


@pytest.mark.parametrize(
    ("body", "field"),
    [("view.machine.now = 5", "now"), ("view.heads[view.ready[0]].deadline -= 3", "deadline"), ("pass", "")],
)
def test_what_a_policy_is_shown_is_not_its_own_to_change(tmp_path: Path, body: str, field: str) -> None:
    path = tmp_path / "turns.py"
    path.write_text(REMEMBERS.format(body=body), encoding="utf-8")
    if not field:
        assert load_policy(str(path)).name == "turns"
        return
    with pytest.raises(PolicyError, match=f"changes {field} in line 11 of turns.py.* write machine.mode"):
        load_policy(str(path))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('x')", "mine: fails: ValueError: x in line 7 of p.py"),
        ("return view.ready[99]", "mine: fails: IndexError"),
        (
            "return view.ready[nobody]",
            "mine: fails: NameError: name 'nobody' is not defined in line 7 of p.py",
        ),
        ("return None", "choose returns an integer on every path"),
        ("assert view.machine.now < 0", "mine: fails: AssertionError in line 7 of p.py"),
    ],
)
def test_uncompiled_it_fails_in_one_line_too(
    make_scenario: Any, tmp_path: Path, body: str, said: str
) -> None:
    path = tmp_path / "p.py"
    path.write_text(FILE.format(body=body, arguments="view: View, options: Any, memory: Memory"))
    with pytest.raises(PolicyError) as caught:
        simulate(make_scenario(duration_s=0.1), policy=str(path), compiled=False)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
