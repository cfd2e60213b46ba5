"""NPU configs by name, path or mapping; every mistake with its line and field."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.plugins import NPU_LIBRARIES
from layerweaver.ir import ConfigError, LayerweaverError
from layerweaver.ir.files import is_file
from layerweaver.ir.given import PATHS, check_given, without_numpy
from layerweaver.ir.sections import keys_at, mistakes, validated
from layerweaver.ir.spelling import nearest
from layerweaver.ir.yaml_source import YamlSource, parse_yaml, read_yaml

__all__ = ["INLINE_NPU", "NpuRef", "check_npu", "load_npu", "npu_files", "npu_names"]

NpuRef = str | Path | Mapping[str, Any] | NpuConfig


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


def npu_names() -> tuple[str, ...]:
    """Names of all NPU configs that installed packages provide, sorted."""
    return tuple(sorted(npu_files()))


def load_npu(npu: NpuRef, *, folder: Path | None = None) -> NpuConfig:
    """Load an NPU config.

    Args:
        npu: A shipped name, the path of a YAML file (anything with a suffix or a folder), a mapping,
            or a config.
        folder: Folder that paths in a mapping are relative to; None is the present one. Those of a file are
            relative to its own.

    Raises:
        ConfigError: If the name is unknown, the file cannot be read, or a field is wrong (the first mistake,
            with line and field; :func:`check_npu` lists all).
    """
    if isinstance(npu, NpuConfig):
        return npu
    if isinstance(npu, Mapping):
        return _accepted(YamlSource(without_numpy(npu), INLINE_NPU, {})).in_folder(folder or Path())
    if isinstance(npu, str):
        if npu in npu_files():
            return _named(npu)
        if not Path(npu).suffix and "/" not in npu and not is_file(npu):
            raise ConfigError(
                f"there is no NPU {npu[:80]!r}",
                accepted=f"{nearest(npu, npu_names())}, or the path of a YAML file",
            )
    check_given(npu, PATHS, ConfigError, "give an NPU's name, the path of a YAML file, a mapping or a config")
    return _accepted(read_yaml(Path(npu), ConfigError)).in_folder(Path(npu).parent)


@functools.cache
def _named(name: str) -> NpuConfig:
    return _accepted(parse_yaml(npu_files()[name].read_bytes(), f"{name}.yaml", ConfigError))


def check_npu(path: str | Path) -> list[str]:
    """Every mistake in a config file as ``file:line: field: what; accepted``; empty when it is accepted.

    Of mistaken fields the first 200 are listed.
    """
    check_given(path, PATHS, ConfigError, "give the path of a YAML file")
    problems: list[LayerweaverError] = []
    try:
        source = read_yaml(Path(path), ConfigError, problems)
    except ConfigError as error:
        return [str(error)]
    found = mistakes(NpuConfig, source, ConfigError)
    more = found if isinstance(found, list) else _misnamed_sources(found, source)
    listed = [(int(_line_of(problem)), str(problem)) for problem in (*problems, *more)]
    return [text for _, text in sorted(dict.fromkeys(listed))]


def _line_of(problem: LayerweaverError) -> str:
    digits = [part for part in problem.where.split(":") if part.strip().isdigit()]
    return digits[0] if digits else "0"


def _accepted(source: YamlSource) -> NpuConfig:
    config = validated(NpuConfig, source, ConfigError)
    for problem in _misnamed_sources(config, source):
        raise problem
    return config


def _misnamed_sources(config: NpuConfig, source: YamlSource) -> list[ConfigError]:
    """Sources of figures that the config does not have."""
    problems = []
    for key in config.sources:
        *section, name = key.split(".")
        keys = keys_at(NpuConfig, section)
        if name not in keys:
            problems.append(
                ConfigError(
                    "names no field of the config",
                    where=source.where(("sources", key)),
                    accepted=nearest(name, keys or tuple(NpuConfig.model_fields)),
                )
            )
    return problems
