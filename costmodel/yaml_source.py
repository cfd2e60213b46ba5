"""Reading untrusted YAML with line numbers: bounded size, depth and node count, no tags, no repeated keys."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from layerweaver.ir import ConfigError

__all__ = ["Problem", "YamlSource", "parse_yaml", "read_yaml"]

MAX_FILE_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 20
MAX_SCALAR = 10_000

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a config.

    Attributes:
        message: What is wrong and what would be accepted.
        line: Line in the file, 1-based; None when there is no file or no place.
        field: Dotted path of the field, empty for the whole document.
    """

    message: str
    line: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = ", ".join(part for part in (f"line {self.line}" if self.line else "", self.field) if part)
        return f"{place}: {self.message}" if place else self.message


@dataclass(slots=True)
class YamlSource:
    """A parsed document with the line of every field.

    Attributes:
        data: The document as plain Python values.
        lines: Path of a field to its line, 1-based.
        problems: What was wrong with the YAML itself (repeated keys, unsupported values).
    """

    data: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: Path_) -> int | None:
        """Line of a field, or of the nearest enclosing one that the file contains."""
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return line
        return None


def dotted(path: Path_) -> str:
    """A path as text: ``array.rows``."""
    return ".".join(str(part)[:60] for part in path)


def read_yaml(path: Path) -> YamlSource:
    """Read and parse a file.

    Raises:
        ConfigError: If it cannot be read, is too large, binary, or not YAML.
    """
    where = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("no such file", where=where, accepted="give the path of a YAML file") from None
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=where) from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(
            f"is larger than {MAX_FILE_BYTES} bytes", where=where, accepted="give an NPU config"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError("is not a text file", where=where, accepted="give YAML in UTF-8") from None
    return parse_yaml(text, where)


def parse_yaml(text: str, where: str) -> YamlSource:
    """Parse YAML text.

    Raises:
        ConfigError: If it is not YAML or exceeds the bounds; one line.
    """
    source = YamlSource()
    try:
        _check_bounds(text, where)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}: line {mark.line + 1}" if mark else where
        raise ConfigError(f"is not valid YAML: {error.problem or error.context}", where=place) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"is not valid YAML: {str(error)[:200]}", where=where) from None
    if node is not None:
        source.data = _build(node, (), source)
    return source


def _check_bounds(text: str, where: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(
                "aliases are not accepted",
                where=f"{where}: line {event.start_mark.line + 1}",
                accepted="write the value out",
            )
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise ConfigError(
                f"is nested deeper than {MAX_DEPTH} levels or longer than {MAX_NODES} entries", where=where
            )


def _build(node: yaml.Node, path: Path_, source: YamlSource) -> Any:
    line = node.start_mark.line + 1
    source.lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _build(key_node, (*path, "?"), source)
            source.lines.pop((*path, "?"), None)
            key_line = key_node.start_mark.line + 1
            if not isinstance(key, (str, int, float, bool)) and key is not None:
                source.problems.append(Problem("a key must be a word", key_line, dotted(path)))
                continue
            name = str(key)[:200]
            if name in result:
                source.problems.append(
                    Problem("the key is given twice; keep one", key_line, dotted((*path, name)))
                )
                continue
            source.lines[(*path, name)] = key_line
            result[name] = _build(value_node, (*path, name), source)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), source) for index, item in enumerate(node.value)]
    return _scalar(node, path, source)


def _scalar(node: yaml.Node, path: Path_, source: YamlSource) -> Any:
    text = str(node.value)
    line = node.start_mark.line + 1
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    value: Any = text[:MAX_SCALAR]
    try:
        match kind:
            case "null":
                value = None
            case "bool":
                value = text.lower() in ("yes", "true", "on")
            case "int":
                value = int(text.replace("_", ""), 0)
            case "float":
                value = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
                if not math.isfinite(value):
                    source.problems.append(Problem(f"{text[:20]} is not a finite number", line, dotted(path)))
            case "str" | "timestamp":
                pass
            case _:
                source.problems.append(
                    Problem(f"the tag {node.tag[:40]} is not accepted", line, dotted(path))
                )
    except ValueError:
        # Octal, sexagesimal or endless numbers: keep the text, the field's own check explains.
        value = text[:MAX_SCALAR]
    return value
