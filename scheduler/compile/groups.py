"""What a profile stores of declared groups: static woven schedules."""

from __future__ import annotations

from collections.abc import Sequence

from layerweaver.scheduler.offline import StaticWeave
from layerweaver.scheduler.profile.profile import Profile
from layerweaver.scheduler.static.weave import find_weave

__all__ = ["weave_group"]


def weave_group(profile: Profile, group: Sequence[str]) -> StaticWeave:
    """The static woven schedule of some entries of a profile.

    Args:
        profile: The profile.
        group: ``NAME`` (its smallest batch) or ``NAME@BATCH``, one per tenant; a name may repeat.

    Raises:
        ProfileError: If an entry does not exist or the schedule does not repeat.
    """
    return find_weave([profile.find(*_member(profile, reference)) for reference in group])[0]


def _member(profile: Profile, reference: str) -> tuple[str, int]:
    """(entry, batch) of a reference: the batch that it names, or the entry's smallest."""
    name, at, batch = reference.strip().rpartition("@")
    if at and batch.isascii() and batch.isdigit():
        return name, int(batch[:12])
    return reference.strip(), profile.batches(reference.strip())[0]
