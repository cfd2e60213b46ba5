"""Pinned models: which model a pin means, wherever the command runs."""

from __future__ import annotations

import os
from pathlib import Path

from layerweaver.ir.files import at_home

__all__ = ["is_path", "pin_means"]

ZOO = "zoo:"


def is_path(pin: str) -> bool:
    """Whether a pin is the path of a model file; else it is a name."""
    return not pin.startswith(ZOO) and ("/" in pin or Path(pin).suffix.lower() == ".onnx")


def pin_means(pin: str, source: str, folder: Path | None) -> bool:
    """Whether a pin names a model.

    Args:
        pin: ``zoo:NAME``, the path of a file, or a name: the zoo's, or a file's without its suffix.
        source: Where the model comes from: ``zoo:NAME``, a path, or what a graph made by hand is called.
        folder: Folder that the pin's path is relative to; None for the present one.
    """
    if is_path(pin):
        if source.startswith(ZOO):
            return False
        file = (folder or Path()) / at_home(pin)
        try:
            return os.path.realpath(file) == os.path.realpath(source)
        except ValueError:  # no file can be called that
            return False
    return pin in {source, source.removeprefix(ZOO), Path(source).stem}
