"""Plug-ins by entry point: the names of a group, and loading one by name.

What is shipped registers in the same way; its lines are given once more to the group, for a source tree that
runs without installed metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from importlib import metadata
from typing import Any, TypeVar

from layerweaver.ir.errors import LayerweaverError
from layerweaver.ir.spelling import nearest

__all__ = [
    "ARRIVALS",
    "METRICS",
    "OPERATORS",
    "PluginGroup",
    "asked_of_others",
    "failure_of",
    "installed",
    "others_add",
]

_Given = TypeVar("_Given")

ARRIVALS, METRICS, OPERATORS = "layerweaver.arrivals", "layerweaver.metrics", "layerweaver.operators"
"""Groups that results name without loading what loads them."""

_FAULTS = (
    *(ImportError, SyntaxError, AttributeError, NameError, TypeError, ValueError, LookupError),
    *(RuntimeError, OSError, LayerweaverError),
)
"""What loading somebody's module may raise; whatever else is no fault of the module."""


@cache
def _installed() -> Any:
    """Every entry point of every package; reading them takes some 10 ms."""
    return metadata.entry_points()


@cache
def installed(group: str) -> metadata.EntryPoints:
    """The entry points of a group that packages register."""
    points: metadata.EntryPoints = _installed().select(group=group)
    return points


def others_add(group: str) -> bool:
    """Whether another package than this one registers anything in a group."""
    return any(not point.value.startswith("layerweaver.") for point in installed(group))


def failure_of(what: str, error: Exception) -> str:
    """That somebody's code failed, in one line."""
    return f"{what} fails: {type(error).__name__}: {error}".split("\n", 1)[0][:300]


def asked_of_others(
    what: str, call: Callable[[], _Given], error: type[LayerweaverError], where: str
) -> _Given:
    """What somebody's code gives; whatever it raises, but for complaints of ours, is one line that names it.

    Args:
        what: What is called.
        call: Calls it.
        error: Class of the complaint.
        where: Whose code it is.

    Raises:
        LayerweaverError: Of class ``error``.
    """
    try:
        return call()
    except LayerweaverError:
        raise
    except Exception as failed:
        raise error(failure_of(what, failed), where=where) from failed


class PluginGroup:
    """One group of entry points.

    Args:
        group: Its name in the packages' metadata.
        kind: What its members are called in complaints.
        error: Class of the complaints.
        shipped: The entry points of this package, name to ``module:attribute``.
    """

    def __init__(
        self, group: str, kind: str, error: type[LayerweaverError], shipped: Mapping[str, str]
    ) -> None:
        self.group, self.kind, self.shipped = group, kind, dict(shipped)
        self._error = error
        self._loaded: dict[str, Any] = {}

    @cached_property
    def entries(self) -> dict[str, metadata.EntryPoint]:
        """Every entry point by name.

        Raises:
            LayerweaverError: If two packages register different things under one name.
        """
        found = {name: metadata.EntryPoint(name, value, self.group) for name, value in self.shipped.items()}
        points = installed(self.group)
        for entry in sorted(points, key=lambda entry: (entry.name, entry.value)):
            known = found.get(entry.name)
            if known is not None and known.value != entry.value:
                raise self._error(
                    f"two packages register {entry.name!r}: {known.value} and {entry.value}",
                    where=f"entry points {self.group}",
                    accepted="uninstall one of them",
                )
            found[entry.name] = entry
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.entries))

    def load(self, name: str) -> Any:
        """What a name stands for, loaded once.

        Raises:
            LayerweaverError: If no package registers the name or the plug-in does not import.
        """
        if name not in self._loaded:
            entry = self.entries.get(name)
            if entry is None:
                raise self._error(f"unknown {self.kind} {name[:60]!r}", accepted=nearest(name, self.names))
            self._loaded[name] = self.resolve(entry)
        return self._loaded[name]

    def resolve(self, entry: metadata.EntryPoint, use: Callable[[Any], Any] | None = None) -> Any:
        """Import what an entry point names.

        Args:
            entry: The entry point.
            use: Done with it at once, under the same complaint; what it returns is the result.

        Raises:
            LayerweaverError: If the plug-in does not import, or fails to be used.
        """
        try:
            loaded = entry.load()
            return loaded if use is None else use(loaded)
        except _FAULTS as error:
            raise self._error(
                f"plug-in {entry.name!r} ({entry.value}) does not load ({type(error).__name__}: {error})",
                where=f"entry points {self.group}",
                accepted="mend or uninstall the package that provides it",
            ) from None
