"""Names that a shell completes; where none fits, the shell offers files."""

from __future__ import annotations

__all__ = ["complete_model", "complete_npu", "complete_policies", "complete_policy", "complete_zoo_name"]


def complete_npu(incomplete: str) -> list[str]:
    """Shipped NPUs."""
    from layerweaver.costmodel import npu_names

    return [name for name in npu_names() if name.startswith(incomplete)]


def complete_policy(incomplete: str) -> list[str]:
    """Shipped policies."""
    from layerweaver.scheduler.policies import policy_names

    return [name for name in policy_names() if name.startswith(incomplete)]


def complete_policies(incomplete: str) -> list[str]:
    """The last policy of a list with commas."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in complete_policy(last)]


def complete_zoo_name(incomplete: str) -> list[str]:
    """Models of the zoo, by their bare names."""
    from layerweaver import models

    return [name for name in models.names() if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Models of the zoo; nothing for paths, so that the shell offers files."""
    if not incomplete or not ("zoo:".startswith(incomplete) or incomplete.startswith("zoo:")):
        return []
    begun = incomplete.removeprefix("zoo:") if ":" in incomplete else ""
    return [f"zoo:{name}" for name in complete_zoo_name(begun)]
