"""Results as flat rows of a study's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from layerweaver.backend_sim.results.told_by_points import PARTED

__all__ = ["flat"]


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers and texts by dotted path; tenants by their names; distributions are left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            if not key.endswith("histogram"):
                yield from flat(value, f"{prefix}{key}.")
        elif key == "tenants" and isinstance(value, list):
            for tenant in value:
                rest = {inner: item for inner, item in tenant.items() if inner != "name"}
                yield from flat(rest, f"{prefix}tenants.{tenant['name']}.")
        elif isinstance(value, (list, tuple)):
            if all(isinstance(item, str) for item in value):
                yield f"{prefix}{key}", PARTED.join(value)
        else:
            yield f"{prefix}{key}", value
