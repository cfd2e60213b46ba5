"""What a profile stores of declared groups: static woven schedules and decision tables."""

from __future__ import annotations

from collections.abc import Sequence

from layerweaver.ir import ProfileError
from layerweaver.scheduler.offline import DecisionTables, StaticWeave
from layerweaver.scheduler.profile.profile import Profile
from layerweaver.scheduler.static.tables import build_tables
from layerweaver.scheduler.static.weave import find_weave

__all__ = ["MAX_TABLED", "table_group", "weave_group"]


MAX_TABLED = 64
"""Models (times batch sizes) that the decision tables of one group may cover."""


def weave_group(profile: Profile, group: Sequence[str]) -> StaticWeave:
    """The static woven schedule of some entries of a profile.

    Args:
        profile: The profile.
        group: ``NAME`` (its smallest batch) or ``NAME@BATCH``, one per tenant; a name may repeat.

    Raises:
        ProfileError: If an entry does not exist or the schedule does not repeat.
    """
    return find_weave([profile.find(*_sizes_of(profile, reference)[0]) for reference in group])[0]


def table_group(profile: Profile, group: Sequence[str]) -> DecisionTables | None:
    """The decision tables of some entries of a profile; None if they would be too large.

    Args:
        profile: The profile.
        group: ``NAME`` (all its batch sizes) or ``NAME@BATCH``.

    Raises:
        ProfileError: If an entry does not exist.
    """
    members = dict.fromkeys(member for reference in group for member in _sizes_of(profile, reference))
    models = [profile.find(*member) for member in members]
    if len(members) > MAX_TABLED:
        return None
    try:
        return DecisionTables(tuple(members), build_tables([models]))
    except ProfileError:
        return None


def _sizes_of(profile: Profile, reference: str) -> list[tuple[str, int]]:
    """(entry, batch) of a reference: the one it names, or all of an entry, smallest first."""
    name, at, batch = reference.strip().rpartition("@")
    if at and batch.isascii() and batch.isdigit():
        return [(name, int(batch[:12]))]
    return [(reference.strip(), size) for size in profile.batches(reference.strip())]
