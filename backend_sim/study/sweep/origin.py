"""What a study's folder says of how its points were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.ir import read_bounded, write_text
from layerweaver.ir.json_text import parse_json
from layerweaver.ir.sections import Section

__all__ = ["FILE", "origin_of", "study_again", "write_origin"]

FILE = "study.json"
_MOST_BYTES = 1 << 28


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
    study = read_study(origin.study, many=True, allow_code=allow_code, folder=Path(origin.folder))
    apart = [key for key in dict.fromkeys([*origin.parts, *study.parts]) if _differs(origin, study, key)]
    if apart:
        more = f" and {len(apart) - 5} more" if len(apart) > 5 else ""
        raise ResultError(
            f"since its points were run, these changed: {', '.join(apart[:5])}{more}",
            where=str(folder),
            accepted="give files and plug-ins as they were",
        )
    return study


def _differs(origin: _Origin, study: Study, part: str) -> bool:
    return origin.parts.get(part) != study.parts.get(part)
