"""What rates are over, where that is not the time in which a tenant asked, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.told import of_seeds, told_by, without_seed
from layerweaver.ir.text import figure, first_of

__all__ = ["notes_beside_spans", "span_notes"]

_VISIBLE = 0.05
"""Shares of time that differ by less are taken as the same."""
_NAMED = 5
_EARLY = "requests end early"


def span_notes(names: Sequence[str], runs: Sequence[Run]) -> Iterator[str]:
    """Whose requests end before those of others, and under which runs rates count the serving of the rest.

    Args:
        names: What the runs are called.
        runs: The runs; those of older versions do not say for how long who asked.
    """
    known = [
        (name, run) for name, run in zip(names, runs, strict=True) if "measured_s" in run.get("system", {})
    ]
    yield from told_by(names, [_ended_early(run) for run in runs])
    for longer, cooled in product((True, False), (False, True)):
        apart = [
            (f"{name} " * (len(runs) > 1) + f"{figure(run['system']['measured_s'])} s", run)
            for name, run in known
            if _goes_on(run) == (1 if longer else -1) and _ends_with_cooldown(run) == cooled
        ]
        if apart:
            times = first_of([text for text, _ in apart], _NAMED)
            asked = f"{figure(apart[0][1]['system']['offered_s'])} s"
            end = "cooldown_s begins" if cooled else "the last completion"
            yield f"q/s{of_seeds(runs)} is over the time until {end} ({times}), " + (
                f"of which requests come in {asked}"
                if longer
                else f"shorter than the {asked} in which requests are offered"
            )


def _ends_with_cooldown(run: Run) -> bool:
    """Whether what is measured ends where the cool-down begins."""
    spec = run.get("scenario", {})
    spans = [spec.get(key) for key in ("duration_s", "cooldown_s", "warmup_s")]
    duration_s, cooldown_s, warmup_s = (one if isinstance(one, int | float) else 0.0 for one in spans)
    return cooldown_s > 0 and run["system"]["measured_s"] >= duration_s - cooldown_s - warmup_s


def _goes_on(run: Run) -> int:
    """1 where a run goes on visibly longer than its requests come, -1 where they come visibly longer."""
    measured_s, offered_s = run["system"]["measured_s"], run["system"].get("offered_s", 0.0)
    if not offered_s:
        return 0
    return (measured_s > (1 + _VISIBLE) * offered_s) - (measured_s < (1 - _VISIBLE) * offered_s)


def notes_beside_spans(run: Run) -> list[str]:
    """A run's notes without those that :func:`span_notes` says of it, which several runs share a line of."""
    said = run.get("notes", [])
    alone: Run = {**run}
    alone.pop("confidence", None)
    spans = set(span_notes([run["policy"]], [alone]))
    told = [*spans, *_told_early(run)]
    return [line for line in said if line not in told and without_seed(line) not in told]


def _told_early(run: Run) -> list[str]:
    """What the notes of repetitions say of those whose requests end early."""
    notes = run.get("notes", []) if "confidence" in run else []
    return [line for line in notes if without_seed(line).startswith(_EARLY)]


def _ended_early(run: Run) -> list[str]:
    """The tenants whose requests end while others go on, in a line."""
    if told := _told_early(run):
        return told
    if "measured_s" not in run.get("system", {}):
        return []
    longest_s = run["system"].get("offered_s", 0.0)
    early = [
        (offered_s, tenant)
        for tenant in run["tenants"]
        if (offered_s := tenant.get("offered_s")) is not None and offered_s < (1 - _VISIBLE) * longest_s
    ]
    told, shorter = [], _goes_on(run) < 0
    for offered_s, tenant in sorted(early, key=lambda found: found[0]):
        rate = tenant.get("offered_qps")
        at = f" ({figure(rate, 4)} q/s until then)" if rate else ""
        when = "all at once" if tenant["arrived"] else "before the measured time"
        if offered_s:
            whole = f"{figure(longest_s)} s {'of requests' if shorter else 'measured'}"
            when = f"after {figure(offered_s)} of {whole}{at}"
        told.append(f"{tenant['name']} {when}")
    if not told:
        return []
    who = first_of(told, _NAMED, "tenants")
    over = "" if shorter else "; all rates are over the whole"
    return [f"{_EARLY}{of_seeds([run])}: {who}{over}"]
