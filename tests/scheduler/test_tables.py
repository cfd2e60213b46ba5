"""Decisions from tables equal the direct rule on every state they claim to cover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.random_inputs import Recipe, recipes

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import Saturated
from layerweaver.ir import ProfileError
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.static.tables import MAX_PAIRS, build_tables

Make = Callable[..., ModelProfile]
FOREVER = (0, 2**62)
PLUS = {"margin_us": 1, "evaluate": "now"}


@pytest.mark.parametrize(
    ("direct", "tabled"),
    [
        ({"name": "layerweaver"}, {"name": "layerweaver-tables"}),
        (
            {"name": "layerweaver+", "sees": "heads", "hopeless": "leave"} | PLUS,
            {"name": "layerweaver+tables"} | PLUS,
        ),
        (
            {"name": "layerweaver+", "sees": "heads", "hopeless": "last"},
            {"name": "layerweaver+tables", "hopeless": "last"},
        ),
    ],
)
@given(recipe=recipes())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_tables_decide_as_the_direct_rule(direct: Any, tabled: Any, recipe: Recipe) -> None:
    logs = []
    for case in (direct, tabled):
        policy = load_policy(case)
        outcome = run(recipe.make(), policy, record_cycles=FOREVER, compiled=False)
        assert outcome.log is not None
        modes = [outcome.log.mode_names[mode].removeprefix("table: ") for mode in outcome.log.mode]
        rows = zip(outcome.log.tenant, outcome.log.row, outcome.log.fetch_start, modes, strict=True)
        logs.append(list(rows))
    assert logs[0] == logs[1]


ROWS = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 1000)), min_size=1, max_size=6)


@given(rows=st.lists(ROWS, min_size=2, max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_streams_that_fill_the_buffer_decide_alike(
    make_model: Make, rows: list[list[tuple[int, int]]]
) -> None:
    models = [make_model(f"m{index}", [*costs, (1, 1)]) for index, costs in enumerate(rows)]
    outcomes = []
    for name in ("layerweaver", "layerweaver-tables"):
        tenants = tuple(TenantLoad(model.entry, (model,), Saturated(min_queries=8)) for model in models)
        given_input = SimulationInput(models[0].table.machine, tenants)
        outcomes.append(run(given_input, load_policy(name), record_cycles=FOREVER, compiled=False))
    logs = [outcome.log for outcome in outcomes]
    assert logs[0] is not None
    assert logs[1] is not None
    np.testing.assert_array_equal(logs[0].tenant, logs[1].tenant)
    np.testing.assert_array_equal(logs[0].compute_end, logs[1].compute_end)


def test_contested_decisions_are_covered(make_model: Make) -> None:
    # A convolution-like and a fully-connected-like stream, always busy: the buffer is full much of the time,
    # so fetches stall and the direct rule decides; even so, two of five are looked up.
    vision = make_model("vision", [(60, 10), (50, 20), (40, 15), (70, 40)] * 4)
    language = make_model("language", [(8, 50), (8, 50), (10, 80)] * 5)
    tenants = tuple(TenantLoad(m.entry, (m,), Saturated(min_queries=40)) for m in (vision, language))
    policy = load_policy("layerweaver-tables")
    counts = run(SimulationInput(vision.table.machine, tenants), policy, compiled=False).mode_counts
    covered = sum(count for mode, count in counts.items() if mode.startswith("table: "))
    assert covered > 0.4 * (sum(counts.values()) - counts["single"])


def test_equal_models_share_their_tables(make_model: Make) -> None:
    one, other = make_model("one", [(5, 9), (3, 1)]), make_model("other", [(5, 1)])
    two = build_tables([[one], [other]])
    many = build_tables([[one], [other]] * 8)
    assert len(many) == len(two) + 14  # only the class of each further profile


def test_too_many_pairs_are_refused(make_model: Make) -> None:
    rows = int(MAX_PAIRS**0.5) + 1
    with pytest.raises(ProfileError, match="pairs of rows"):
        build_tables([[make_model("long", [(1, 1)] * rows)]])
