"""Array models, cost models and NPU libraries by entry point; the shipped ones register the same way.

Groups: ``layerweaver.array_models`` (name -> function ``(ArrayWork, ArrayConfig) -> cycles``),
``layerweaver.costmodels`` (name -> function ``(LayerColumns, NpuConfig) -> ComputeCosts``), and
``layerweaver.npus`` (any name -> an importable package with ``*.yaml`` files, whose stems are the names).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

from layerweaver.ir import ConfigError
from layerweaver.ir.yaml_source import nearest

if TYPE_CHECKING:
    from layerweaver.costmodel.array_models import ArrayModel
    from layerweaver.costmodel.columns import LayerColumns
    from layerweaver.costmodel.config import NpuConfig
    from layerweaver.costmodel.model import ComputeCosts

__all__ = [
    "ARRAY_MODEL_GROUP",
    "COST_MODEL_GROUP",
    "NPU_GROUP",
    "SHIPPED",
    "array_model",
    "cost_model",
    "npu_files",
    "plugin_names",
]

ARRAY_MODEL_GROUP = "layerweaver.array_models"
COST_MODEL_GROUP = "layerweaver.costmodels"
NPU_GROUP = "layerweaver.npus"

SHIPPED: dict[str, dict[str, str]] = {
    ARRAY_MODEL_GROUP: {
        "ws": "layerweaver.costmodel.array_models:weight_stationary",
        "os": "layerweaver.costmodel.array_models:output_stationary",
        "is": "layerweaver.costmodel.array_models:input_stationary",
        "mac_grid": "layerweaver.costmodel.array_models:mac_grid",
    },
    COST_MODEL_GROUP: {"analytical": "layerweaver.costmodel.model:analytical"},
    NPU_GROUP: {"shipped": "layerweaver.costmodel.npus"},
}
"""The same lines as in ``pyproject.toml``, for a source tree that runs without installed metadata."""


@functools.cache
def _entries(group: str) -> dict[str, metadata.EntryPoint]:
    found = {name: metadata.EntryPoint(name, value, group) for name, value in SHIPPED[group].items()}
    for entry in sorted(metadata.entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        known = found.get(entry.name)
        if known is not None and known.value != entry.value:
            raise ConfigError(
                f"two packages register {entry.name!r}: {known.value} and {entry.value}",
                where=f"entry points {group}",
                accepted="uninstall one of them",
            )
        found[entry.name] = entry
    return found


def plugin_names(group: str) -> tuple[str, ...]:
    """Names registered under an entry-point group, sorted."""
    return tuple(sorted(_entries(group)))


@functools.cache
def _load(group: str, name: str) -> Any:
    entry = _entries(group).get(name)
    if entry is None:
        kind = {ARRAY_MODEL_GROUP: "dataflow", COST_MODEL_GROUP: "cost model"}.get(group, group)
        raise ConfigError(f"unknown {kind} {name[:60]!r}", accepted=nearest(name, plugin_names(group)))
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"plug-in {name!r} ({entry.value}) does not load: {error}", where=f"entry points {group}"
        ) from None


def array_model(name: str) -> ArrayModel:
    """The array model of a dataflow name.

    Raises:
        ConfigError: If no package registers the name or the plug-in does not import.
    """
    model: ArrayModel = _load(ARRAY_MODEL_GROUP, name)
    return model


def cost_model(name: str) -> Callable[[LayerColumns, NpuConfig], ComputeCosts]:
    """The cost model of a name.

    Raises:
        ConfigError: As :func:`array_model`.
    """
    model: Callable[[LayerColumns, NpuConfig], ComputeCosts] = _load(COST_MODEL_GROUP, name)
    return model


@functools.cache
def npu_files() -> dict[str, Traversable]:
    """Name to YAML file of every NPU config that the installed packages provide.

    Raises:
        ConfigError: If two packages provide the same name.
    """
    files: dict[str, Traversable] = {}
    for entry in _entries(NPU_GROUP).values():
        try:
            folder = resources.files(entry.value)
        except (ImportError, TypeError) as error:
            raise ConfigError(
                f"NPU package {entry.value!r} does not load: {error}", where=f"entry points {NPU_GROUP}"
            ) from None
        for file in sorted(folder.iterdir(), key=lambda item: item.name):
            if file.name.endswith(".yaml"):
                name = file.name.removesuffix(".yaml")
                if name in files:
                    raise ConfigError(
                        f"two packages provide the NPU {name!r}", where=f"entry points {NPU_GROUP}"
                    )
                files[name] = file
    return files
