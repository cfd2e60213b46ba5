"""What comes with an extra of the package: whether it is there, said before the work."""

from __future__ import annotations

import importlib.util

from layerweaver.ir.errors import OutputError

__all__ = ["need_extra"]


def need_extra(module: str, doing: str, extra: str, where: str = "") -> None:
    """Refuse work that a missing package would stop later.

    Args:
        module: Name of the package.
        doing: What needs it.
        extra: Extra of this package that brings it.
        where: The file or option that asked for it.

    Raises:
        OutputError: If the package is not installed.
    """
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # blocked, or half loaded
        found = False
    if not found:
        raise OutputError(
            f"{doing} needs {module}", where=where, accepted=f"pip install 'layerweaver[{extra}]'"
        )
