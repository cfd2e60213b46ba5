"""The tournament of next events against a list that is searched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layerweaver.backend_sim.engine.events import EARLIEST, first_due, no_events, set_event
from layerweaver.scheduler.machine.view import NEVER

CYCLES = st.one_of(st.integers(0, 9), st.just(NEVER))


@given(
    tenants=st.integers(1, 70),
    changes=st.lists(st.tuples(st.integers(0, 69), CYCLES), max_size=60),
    now=st.integers(0, 9),
)
def test_the_earliest_event_and_who_is_due_first(
    tenants: int, changes: list[tuple[int, int]], now: int
) -> None:
    events, plain = no_events(tenants), [NEVER] * tenants
    for index, cycle in changes:
        set_event(events, index % tenants, cycle)
        plain[index % tenants] = cycle
        assert events[EARLIEST] == min(plain)
    due = [index for index, cycle in enumerate(plain) if cycle <= now]
    if due:
        assert first_due(events, now) == due[0]
