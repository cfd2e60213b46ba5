"""Importing packages that read settings from the present folder, without what lies there."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from types import ModuleType

__all__ = ["import_elsewhere"]


def import_elsewhere(name: str) -> ModuleType:
    """Import a package as if the process stood in the root of the file system.

    numba and matplotlib read a file of settings from the present folder, and what it says can make them run
    code; a folder with somebody's scenario shall run nothing.

    Raises:
        ImportError: If there is no such package.
    """
    if name in sys.modules:
        return sys.modules[name]
    try:
        here = os.getcwd()  # noqa: PTH109 - to come back to it, whatever it is called
    except FileNotFoundError:  # a folder that is gone holds no settings
        return importlib.import_module(name)
    os.chdir(os.path.abspath(os.sep))  # noqa: PTH100
    try:
        return importlib.import_module(name)
    finally:
        with contextlib.suppress(OSError):
            os.chdir(here)
