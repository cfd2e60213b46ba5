"""What a study's folder says of how its points were made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.scenario.provenance import start_of_paths
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.ir import read_bounded, write_text
from layerweaver.ir.files import at_home, is_file
from layerweaver.ir.json_text import parse_json
from layerweaver.ir.plugin_hashes import plugin_record
from layerweaver.ir.sections import Section
from layerweaver.ir.text import first_of

__all__ = ["FILE", "origin_of", "study_again", "write_origin"]

FILE = "study.json"
_MOST_BYTES = 1 << 28
_NAMED = 5


class _Origin(Section):
    """The file: a study's keys, the folder of its paths, and digests of all that its points depend on."""

    version: str
    folder: str
    study: dict[str, Any]
    parts: dict[str, str]


def origin_of(study: Study) -> dict[str, object]:
    """What it takes to run a study again."""
    return {
        "version": study.job.version,
        "folder": str(study.folder),
        "study": study.source.value,
        "parts": dict(study.parts),
    }


def write_origin(study: Study, folder: Path) -> None:
    """Write the file beside the tables.

    Raises:
        OutputError: If it cannot be written.
    """
    write_text(folder / FILE, json.dumps(origin_of(study), indent=1, default=str) + "\n")


def study_again(folder: Path, *, allow_code: bool = False) -> Study:
    """The study that a folder's points are of, read once more.

    Args:
        folder: The folder of a sweep. Paths in it are relative to the present folder, as they were then.
        allow_code: Run policies that the study gives as Python files.

    Raises:
        ResultError: If the folder does not say how its points were made, or something has changed since.
        LayerweaverError: If the study can no longer be read.
    """
    path = folder / FILE
    try:
        content = read_bounded(path, _MOST_BYTES)
        if content is None:
            raise ResultError(f"is larger than {_MOST_BYTES:,} bytes", where=str(path))
        origin = _Origin.model_validate(parse_json(content))
    except OSError:
        raise ResultError(
            "does not say how its points were made",
            where=str(folder),
            accepted=f"the folder of a sweep with its {FILE}; the same sweep once more writes it",
        ) from None
    except (ValueError, ValidationError) as error:
        said = " ".join(str(error).split())
        raise ResultError(f"is damaged ({said[:120]})", where=str(path)) from None
    # Without its plug-ins a study may not even be read.
    _refuse(folder, [part for part, digest in origin.parts.items() if _other_plugin(part, digest)])
    home, scenario = Path(origin.folder), origin.study.get("scenario")
    if isinstance(scenario, str) and not is_file(home / at_home(scenario)):
        _refuse(folder, [f"{scenario} is not there"], home)
    study = read_study(origin.study, many=True, allow_code=allow_code, folder=home)
    parts = dict.fromkeys([*origin.parts, *study.parts])
    _refuse(folder, [part for part in parts if origin.parts.get(part) != study.parts.get(part)], home)
    return study


def _refuse(folder: Path, changed: Sequence[str], home: Path | None = None) -> None:
    if changed:
        paths = f"; paths start in {start_of_paths(home)}" if home is not None else ""
        raise ResultError(
            f"since its points were run, these changed: {first_of(changed, _NAMED)}",
            where=str(folder),
            accepted=f"give files and plug-ins as they were{paths}",
        )


def _other_plugin(part: str, digest: str) -> bool:
    """Whether a part is a plug-in that is not installed as it was."""
    kind, _, key = part.partition(" ")
    group, _, name = key.partition(":")
    if kind != "plug-in" or not group.startswith("layerweaver."):
        return False
    found = plugin_record({group: (name,)}).get(key)
    return found is None or found["sha256"] != digest
