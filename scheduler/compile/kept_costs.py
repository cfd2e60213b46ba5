"""Models as costed on an NPU, by content: in memory, and on disk where reading them is quicker than costing.

What is kept depends on the graph (see ``kept_graphs``), on the NPU's config and on the code of the cost
model; all of it is in an entry's name. On disk an entry is a schedule profile of one model: nothing is
unpickled, and one that is damaged is none. Nothing is kept as long as somebody else's array or cost models
are known.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from layerweaver.ir import ProfileError
from layerweaver.ir.cache import Cache
from layerweaver.ir.plugins import others_add
from layerweaver.scheduler.compile.kept_graphs import GRAPHS, code_of, is_current, is_in_memory, remember
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.profile.profile import Profile, Provenance

if TYPE_CHECKING:
    from layerweaver.costmodel import NpuConfig

__all__ = ["COSTS", "Costed", "called", "costs_name", "keep_costs", "kept_costs"]

COSTS = Cache("costs", most_bytes=1 << 28)
_LEAST_GRAPH_BYTES = 1 << 17
"""A smaller graph is read and costed about as quickly as its costs are read."""

_ENTRY = "model"
_GROUPS = ("layerweaver.array_models", "layerweaver.costmodels")
_ROOMS = ("costmodel", "scheduler")

Costed = tuple[ModelProfile, Provenance]
_memory: dict[str, Costed] = {}


def costs_name(graph: str, npu: NpuConfig, longest_us: float | None) -> str | None:
    """Name of the entry; None where costs are not kept.

    Args:
        graph: Name of the graph's entry.
        npu: The NPU.
        longest_us: Layers whose rows take longer are cut; None cuts none.
    """
    if npu.pinned_models or _others_models():
        return None
    return hashlib.sha256(f"{graph} {npu.model_dump_json()} {longest_us!r}".encode()).hexdigest()


@cache
def _others_models() -> bool:
    return any(map(others_add, _GROUPS))


def kept_costs(name: str, graph: str) -> Costed | None:
    """What was kept under a name, if anything was; ``graph`` is the name of its graph's entry."""
    found = _memory.get(name)
    if found is not None or is_in_memory(graph) or GRAPHS.size_of(graph) < _LEAST_GRAPH_BYTES:
        return found
    entry = COSTS.read(_on_disk(name))
    if entry is None:
        return None
    from layerweaver.scheduler.profile.file import parse_profile  # noqa: PLC0415 - loads on first use

    try:
        profile = parse_profile(entry, name)
    except ProfileError:
        return None
    found = profile.entries[0], profile.provenance[0]
    remember(_memory, name, found)
    return found


def keep_costs(name: str, graph: str | None, costed: Costed, npu: NpuConfig) -> None:
    """Keep a model's costs.

    Args:
        name: Name of the entry.
        graph: Name of the entry of its graph, where that had to be read: on disk costs spare that, too.
        costed: The costs, and where the model came from.
        npu: The NPU.
    """
    remember(_memory, name, costed)
    if graph is None or GRAPHS.size_of(graph) < _LEAST_GRAPH_BYTES or not is_current(_ROOMS):
        return
    from layerweaver.costmodel import npu_document  # noqa: PLC0415 - loads on first use
    from layerweaver.scheduler.profile.file import profile_bytes  # noqa: PLC0415

    entry = called(costed[0], _ENTRY)
    profile = Profile(npu_document(npu), npu.machine(), entries=(entry,), provenance=(costed[1],))
    with contextlib.suppress(ProfileError):  # outside what a profile may hold
        COSTS.write(_on_disk(name), profile_bytes(profile, name))


def called(profile: ModelProfile, entry: str) -> ModelProfile:
    """A model under another name."""
    return ModelProfile(entry, replace(profile.table, model=entry), profile.offline)


def _on_disk(name: str) -> str:
    return hashlib.sha256(f"{code_of(_ROOMS)} {name}".encode()).hexdigest()
