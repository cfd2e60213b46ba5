"""NPU configs by name, path or mapping; every mistake with its line and field."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import FieldError
from layerweaver.costmodel.plugins import NPU_LIBRARIES
from layerweaver.ir import ConfigError, LayerweaverError
from layerweaver.ir.spelling import nearest
from layerweaver.ir.yaml_source import KeyPath, YamlSource, parse_yaml, read_yaml

__all__ = ["INLINE_NPU", "check_npu", "load_npu", "npu_files", "npu_names"]


@functools.cache
def npu_files() -> dict[str, Traversable]:
    """Name to YAML file of every NPU config that the installed packages provide.

    Raises:
        ConfigError: If two packages provide the same name.
    """
    files: dict[str, Traversable] = {}
    for entry in NPU_LIBRARIES.entries.values():
        try:
            folder = resources.files(entry.value)
        except (ImportError, TypeError) as error:
            raise ConfigError(
                f"NPU package {entry.value!r} does not load: {error}",
                where=f"entry points {NPU_LIBRARIES.group}",
            ) from None
        for file in sorted(folder.iterdir(), key=lambda item: item.name):
            if file.name.endswith(".yaml"):
                name = file.name.removesuffix(".yaml")
                if name in files:
                    raise ConfigError(
                        f"two packages provide the NPU {name!r}", where=f"entry points {NPU_LIBRARIES.group}"
                    )
                files[name] = file
    return files


INLINE_NPU = "NPU config"
"""What stands for the file name in complaints about a mapping."""


MAX_PROBLEMS = 200


MAX_PLACE = 300


def npu_names() -> tuple[str, ...]:
    """Names of all NPU configs that installed packages provide, sorted."""
    return tuple(sorted(npu_files()))


def load_npu(npu: str | Path | Mapping[str, Any], *, folder: Path | None = None) -> NpuConfig:
    """Load an NPU config.

    Args:
        npu: A shipped name, the path of a YAML file (anything with a suffix or a folder), or a mapping.
        folder: Folder that paths in a mapping are relative to; None is the present one. Those of a file are
            relative to its own.

    Raises:
        ConfigError: If the name is unknown, the file cannot be read, or a field is wrong (the first mistake,
            with line and field; :func:`check_npu` lists all).
    """
    if isinstance(npu, Mapping):
        return _accepted(YamlSource(dict(npu), INLINE_NPU, {})).in_folder(folder or Path())
    if isinstance(npu, str):
        if npu in npu_files():
            return _named(npu)
        if not Path(npu).suffix and "/" not in npu and not Path(npu).is_file():
            raise ConfigError(
                f"there is no NPU {npu[:80]!r}",
                accepted=f"{nearest(npu, npu_names())}, or the path of a YAML file",
            )
    return _accepted(read_yaml(Path(npu), ConfigError)).in_folder(Path(npu).parent)


@functools.cache
def _named(name: str) -> NpuConfig:
    return _accepted(parse_yaml(npu_files()[name].read_bytes(), f"{name}.yaml", ConfigError))


def check_npu(path: str | Path) -> list[str]:
    """Every mistake in a config file as ``file:line: field: what; accepted``; empty when it is accepted.

    Of mistaken fields the first 200 are listed.
    """
    problems: list[LayerweaverError] = []
    try:
        source = read_yaml(Path(path), ConfigError, problems)
    except ConfigError as error:
        return [str(error)]
    _, more = _validate(source)
    listed = [(int(_line_of(problem)), str(problem)) for problem in (*problems, *more)]
    return [text for _, text in sorted(dict.fromkeys(listed))]


def _line_of(problem: LayerweaverError) -> str:
    digits = [part for part in problem.where.split(":") if part.strip().isdigit()]
    return digits[0] if digits else "0"


def _accepted(source: YamlSource) -> NpuConfig:
    config, problems = _validate(source)
    if config is None:
        first = min(problems, key=lambda problem: int(_line_of(problem)))
        others = len(problems) - 1
        more = f" ({others} more mistake{'s' if others > 1 else ''})" if others else ""
        raise ConfigError(first.what + more, where=first.where, accepted=first.accepted)
    return config


def _validate(source: YamlSource) -> tuple[NpuConfig | None, list[ConfigError]]:
    if not isinstance(source.value, dict):
        return None, [
            ConfigError(
                "is not a mapping of fields",
                where=source.where(),
                accepted="`layerweaver npu new` writes a template",
            )
        ]
    try:
        config = NpuConfig.model_validate(source.value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
        unknown = [tuple(item["loc"]) for item in found if item["type"] == "extra_forbidden"]
        meant = {(*path[:-1], _meant(path)) for path in unknown}
        # A misspelt key is one mistake: that the right one is missing need not be said as well.
        items = [item for item in found if item["type"] != "missing" or tuple(item["loc"]) not in meant]
        return None, [_problem(dict(item), source) for item in items[:MAX_PROBLEMS]]
    problems: list[ConfigError] = []
    for key in config.sources:
        *section, name = key.split(".")
        if name not in _fields_at(tuple(section)):
            problems.append(
                ConfigError(
                    "names no field of the config",
                    where=source.where(("sources", key)),
                    accepted=nearest(name, _fields_at(tuple(section)) or tuple(NpuConfig.model_fields)),
                )
            )
    return (None if problems else config), problems


def _fields_at(path: KeyPath) -> tuple[str, ...]:
    """Field names of the section at a path, empty when it is none."""
    model: type[BaseModel] = NpuConfig
    for part in path:
        info = model.model_fields.get(str(part))
        candidates = () if info is None else (info.annotation, *getattr(info.annotation, "__args__", ()))
        inner = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if inner is None:
            return ()
        model = inner
    return tuple(model.model_fields)


def _meant(path: KeyPath) -> str | None:
    """The known key that an unknown one is a misspelling of."""
    close = get_close_matches(str(path[-1]), _fields_at(path[:-1]), n=1)
    return close[0] if close else None


def _problem(item: dict[str, Any], source: YamlSource) -> ConfigError:
    path: KeyPath = tuple(item["loc"])
    where = source.where(path)[:MAX_PLACE]
    given = item.get("input")
    shown = (
        "a section" if isinstance(given, (dict, list)) else "nothing" if given is None else repr(given)[:60]
    )
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            return ConfigError(
                "is not a known key", where=where, accepted=nearest(str(path[-1]), _fields_at(path[:-1]))
            )
        case "missing":
            fields = ", ".join(_fields_at(path[:-1]))
            return ConfigError(f"{path[-1]} is missing", where=where, accepted=f"keys here: {fields}")
        case "value_error":
            mistake = context.get("error", item["msg"])
            if isinstance(mistake, FieldError):
                where = source.where((*path, *mistake.path))[:MAX_PLACE]
            what, _, accepted = str(mistake).partition("; ")
            return ConfigError(what, where=where, accepted=accepted)
        case "greater_than":
            return ConfigError(
                f"{shown} is too small", where=where, accepted=f"give more than {context['gt']:g}"
            )
        case "greater_than_equal":
            return ConfigError(
                f"{shown} is too small", where=where, accepted=f"give {context['ge']:g} or more"
            )
        case "less_than_equal":
            return ConfigError(
                f"{shown} is too large", where=where, accepted=f"give {context['le']:g} or less"
            )
        case "enum":
            return ConfigError(f"{shown} is not known", where=where, accepted=f"give {context['expected']}")
        case "model_type" | "dict_type":
            fields = ", ".join(_fields_at(path))
            return ConfigError(f"{shown} is not a mapping", where=where, accepted=f"keys here: {fields}")
        case _:
            message = str(item["msg"]).removeprefix("Input ")
            return ConfigError(f"{shown}: {message}", where=where)
