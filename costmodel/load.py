"""NPU configs by name, path or mapping; every mistake with its line and field."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from layerweaver.costmodel.config import NpuConfig
from layerweaver.costmodel.plugins import (
    ARRAY_MODEL_GROUP,
    COST_MODEL_GROUP,
    nearest,
    npu_files,
    plugin_names,
)
from layerweaver.costmodel.yaml_source import Path_, Problem, YamlSource, dotted, parse_yaml, read_yaml
from layerweaver.ir import ConfigError

__all__ = ["check_npu", "load_npu", "npu_names"]


def npu_names() -> tuple[str, ...]:
    """Names of all NPU configs that installed packages provide, sorted."""
    return tuple(sorted(npu_files()))


def load_npu(npu: str | Path | Mapping[str, Any]) -> NpuConfig:
    """Load an NPU config.

    Args:
        npu: A shipped name, the path of a YAML file (anything with a suffix or a folder), or a mapping.

    Raises:
        ConfigError: If the name is unknown, the file cannot be read, or a field is wrong (the first mistake,
            with line and field; :func:`check_npu` lists all).
    """
    if isinstance(npu, Mapping):
        return _first_or_config(YamlSource(data=dict(npu)), "NPU config")
    if isinstance(npu, str):
        if npu in npu_files():
            return _named(npu)
        if not Path(npu).suffix and "/" not in npu and not Path(npu).is_file():
            raise ConfigError(
                f"unknown NPU {npu[:80]!r}",
                accepted=f"{nearest(npu, npu_names())}; or give the path of a YAML file",
            )
    path = Path(npu)
    return _first_or_config(read_yaml(path), str(path))


@functools.cache
def _named(name: str) -> NpuConfig:
    text = npu_files()[name].read_text(encoding="utf-8")
    return _first_or_config(parse_yaml(text, f"{name}.yaml"), f"{name}.yaml")


def check_npu(path: str | Path) -> list[Problem]:
    """Every mistake in a config file, in the order of lines; empty when it is accepted.

    Raises:
        ConfigError: If the file cannot be read or is not YAML at all.
    """
    _, problems = _validate(read_yaml(Path(path)))
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.field, problem.message))


def _first_or_config(source: YamlSource, where: str) -> NpuConfig:
    config, problems = _validate(source)
    if config is None:
        first = min(problems, key=lambda problem: (problem.line or 0, problem.field, problem.message))
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(f"{first}{more}", where=where)
    return config


def _validate(source: YamlSource) -> tuple[NpuConfig | None, list[Problem]]:
    problems = list(source.problems)
    if not isinstance(source.data, dict):
        problems.append(Problem("is not a mapping of fields; `layerweaver npu new` writes a template", 1))
        return None, problems
    config: NpuConfig | None = None
    try:
        config = NpuConfig.model_validate(source.data)
    except ValidationError as error:
        seen = {problem.field for problem in problems}
        for item in error.errors(include_url=False, include_context=True):
            problem = _problem(dict(item), source)
            if problem.field not in seen or not problem.field:
                problems.append(problem)
    else:
        for field, group in ((("array", "dataflow"), ARRAY_MODEL_GROUP), (("cost_model",), COST_MODEL_GROUP)):
            name = config.array.dataflow if field[0] == "array" else config.cost_model
            if name not in plugin_names(group):
                hint = nearest(name, plugin_names(group))
                problems.append(
                    Problem(f"unknown {field[-1]} {name[:60]!r}; {hint}", _line(source, field), dotted(field))
                )
        for key in config.sources:
            *section, name = key.split(".")
            if name not in _fields_at(tuple(section)):
                problems.append(
                    Problem("names no field of the config", _line(source, ("sources", key)), f"sources.{key}")
                )
    return (None if problems else config), problems


def _line(source: YamlSource, path: Path_) -> int | None:
    return source.line_of(path) if source.lines else None


def _fields_at(path: Path_) -> tuple[str, ...]:
    """Field names of the section at a path, empty when it is none."""
    model: type[BaseModel] = NpuConfig
    for part in path:
        info = model.model_fields.get(str(part))
        inner = None
        if info is not None:
            candidates = [info.annotation, *getattr(info.annotation, "__args__", ())]
            inner = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if inner is None:
            return ()
        model = inner
    return tuple(model.model_fields)


def _problem(item: dict[str, Any], source: YamlSource) -> Problem:
    path: Path_ = tuple(item["loc"])
    line, name = _line(source, path), dotted(path)
    given = item.get("input")
    shown = repr(given)[:60] if not isinstance(given, (dict, list)) else ""
    kind = item["type"]
    context = item.get("ctx", {})
    match kind:
        case "extra_forbidden":
            hint = nearest(str(path[-1]), _fields_at(path[:-1]))
            return Problem(f"unknown key; {hint}", line, name)
        case "missing":
            return Problem("is missing", line, name)
        case "value_error":
            return Problem(str(context.get("error", item["msg"])), line, name)
        case "greater_than":
            return Problem(f"{shown} must be greater than {context['gt']}", line, name)
        case "greater_than_equal":
            return Problem(f"{shown} must be {context['ge']} or more", line, name)
        case "less_than_equal":
            return Problem(f"{shown} must be {context['le']} or less", line, name)
        case "enum":
            return Problem(f"{shown} is not accepted; give {context['expected']}", line, name)
        case "model_type" | "dict_type":
            return Problem(
                f"{shown} is not a mapping; accepted keys: {', '.join(_fields_at(path))}", line, name
            )
        case _:
            return Problem(
                f"{shown}: {item['msg'][0].lower()}{item['msg'][1:]}".removeprefix(": "), line, name
            )
