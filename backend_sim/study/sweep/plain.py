"""Objects as the plain values of a document: what a study in Python may be made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from layerweaver.costmodel import NpuConfig, npu_document
from layerweaver.scheduler.policies import Policy

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """NPU configs, policies, paths, NumPy numbers and arrays as what a YAML file would have."""
    if isinstance(value, NpuConfig):
        return npu_document(value)
    if isinstance(value, Policy):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, range, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value
