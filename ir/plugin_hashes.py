"""What a result says of the plug-ins it was made with: their package, and the hash of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from typing_extensions import TypedDict

from layerweaver.ir.plugins import installed

__all__ = ["PluginHash", "changed_plugins", "plugin_record"]

_KINDS = (".py", ".yaml")


class PluginHash(TypedDict):
    """Where a plug-in comes from.

    Attributes:
        package: Name and version of its distribution.
        sha256: Of the Python and YAML files of its package.
    """

    package: str
    sha256: str


def plugin_record(used: Mapping[str, Collection[str] | None]) -> dict[str, PluginHash]:
    """Package and SHA-256 of every plug-in in use that another package registers.

    Args:
        used: The names in use by group of entry points; None for all that are installed.

    Returns:
        By ``group:name``, in that order; empty if all that is used is shipped.
    """
    found: dict[str, PluginHash] = {}
    for group, names in sorted(used.items()):
        for entry in sorted(installed(group), key=lambda entry: entry.name):
            if entry.value.startswith("layerweaver.") or (names is not None and entry.name not in names):
                continue
            package = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "?"
            found[f"{group}:{entry.name}"] = {"package": package, "sha256": _package_hash(entry.module)}
    return found


def changed_plugins(record: Mapping[str, PluginHash]) -> Iterator[str]:
    """What has become of recorded plug-ins that are no longer what they were, one phrase for each."""
    for key, before in record.items():
        group, _, name = key.partition(":")
        now = plugin_record({group: (name,)}).get(key)
        if now is None:
            yield f"plug-in {name} of {before['package']} is not installed"
        elif now["sha256"] != before["sha256"]:
            yield (
                f"plug-in {name} changed ({before['package']}, SHA-256 {before['sha256'][:12]}..., "
                f"now {now['package']}, {now['sha256'][:12]}...)"
            )


@cache
def _package_hash(module: str) -> str:
    """SHA-256 over names and bytes of all Python and YAML files of the package that a module is part of."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        spec = find_spec(".".join(parts[:length]))
        if spec is not None and spec.origin is not None:  # a namespace is no package's own
            break
    else:
        return "unknown"
    origin = Path(str(spec.origin))
    files = [origin]
    if spec.submodule_search_locations:
        every = origin.parent.rglob("*")
        files = sorted(path for path in every if path.suffix in _KINDS and path.is_file())
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(origin.parent).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
