"""Objects as the plain values of a document: what scenarios and studies in Python may be made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from layerweaver.costmodel import NpuConfig, npu_document
from layerweaver.ir import LayerGraph, ScenarioError
from layerweaver.scheduler.compile.given_graphs import give
from layerweaver.scheduler.policies import Policy

__all__ = ["plain"]

_DEEPEST = 100


def plain(value: Any, depth: int = _DEEPEST) -> Any:
    """NPU configs, graphs, policies, paths, NumPy numbers and arrays as what a YAML file would have.

    Args:
        value: The objects.
        depth: How deep they may be nested.

    Raises:
        ScenarioError: If a value is none that a document could have, or nested deeper.
    """
    if depth < 0:
        raise ScenarioError(f"values are nested more than {_DEEPEST} deep", accepted="give a flat document")
    if isinstance(value, NpuConfig):
        return npu_document(value.with_whole_paths())
    if isinstance(value, Policy):
        name = value.name if value.file is None else str(value.file)
        return {"name": name, **value.as_options()} if value.as_options() else name
    if isinstance(value, LayerGraph):
        return give(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), depth - 1)
    if isinstance(value, (set, frozenset)):
        raise ScenarioError("a set has no order, so that no run could be repeated", accepted="give a list")
    if isinstance(value, (list, tuple, range)):
        return [plain(item, depth - 1) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ScenarioError(
        f"a document takes no {type(value).__name__}",
        accepted="numbers, texts, lists, mappings, paths, NumPy's values, NPU configs, graphs, policies",
    )
