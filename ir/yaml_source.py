"""YAML files from strangers: bounded, without tags or repeated keys, and with the line of every value."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from layerweaver.ir.errors import LayerweaverError
from layerweaver.ir.files import read_bounded

__all__ = ["YamlSource", "parse_yaml", "read_yaml"]
_MAX_BYTES = 1 << 20
_MAX_DEPTH = 32
_MAX_VALUES = 100_000
_MAX_NUMBER = 100
_EXPONENT = re.compile(r"[-+]?\d[\d_]*(\.\d*)?[eE][-+]?\d+")
_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "timestamp")}
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A document as plain values, and where each stands.

    Attributes:
        value: Mappings, lists, texts, numbers, booleans and None.
        source: File name for messages.
        lines: Line (from 1) of every key or list item, by path from the root.
    """

    value: Any
    source: str
    lines: Mapping[KeyPath, int]

    def where(self, path: Sequence[str | int] = ()) -> str:
        """``file:line: a.b[2].c`` for a path; parts that the document does not have are left out."""
        real = self._real(path)
        line = self.lines.get(real)
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in real).lstrip(".")
        place = f"{self.source}:{line}" if line is not None else self.source
        return f"{place}: {text}" if text else place

    def line(self, path: Sequence[str | int]) -> int:
        """Line of a path, 0 where it is not known."""
        return self.lines.get(self._real(path), 0)

    def _real(self, path: Sequence[str | int]) -> KeyPath:
        value, real = self.value, list[str | int]()
        for part in path:
            listed = isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
            if listed or (isinstance(value, Mapping) and part in value):
                value = value[part]
                real.append(part)
        return tuple(real)


def read_yaml(
    path: Path, error: type[LayerweaverError], problems: list[LayerweaverError] | None = None
) -> YamlSource:
    """Read a YAML file of at most 1 MiB.

    Args:
        path: The file.
        error: Class of the errors raised.
        problems: As for :func:`parse_yaml`.

    Raises:
        LayerweaverError: Of class ``error``, if the file is missing, too large or not plain YAML.
    """
    try:
        data = read_bounded(path, _MAX_BYTES)
    except OSError as failure:
        raise error(
            f"cannot be read ({failure.strerror})", where=str(path), accepted="give a YAML file"
        ) from None
    if data is None:
        raise error("is larger than 1 MiB", where=str(path), accepted="give a YAML file")
    return parse_yaml(data, str(path), error, problems)


def parse_yaml(
    data: bytes | str,
    source: str,
    error: type[LayerweaverError],
    problems: list[LayerweaverError] | None = None,
) -> YamlSource:
    """Parse one YAML document of plain values.

    Numbers such as ``1e9`` are numbers; keys are text; anchors count at every use.

    Args:
        data: The document.
        source: Its name for messages.
        error: Class of the errors raised.
        problems: Where given, repeated keys, tags and values that are not understood are listed here and
            left out instead of being raised, so that a checker can go on.

    Raises:
        LayerweaverError: Of class ``error``, with file and line: syntax, repeated keys, tags, more than
            32 levels or 100,000 values.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
    except UnicodeDecodeError:
        raise error("is not UTF-8 text", where=source, accepted="give a YAML file") from None
    try:
        depth = nodes = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise error(f"is nested more than {_MAX_DEPTH} deep", where=source)
            nodes += isinstance(event, yaml.NodeEvent)
            if nodes > 2 * _MAX_VALUES:  # every value may have a key
                raise error(f"holds more than {_MAX_VALUES} values", where=source)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise error(f"is not YAML: {failure.problem or failure.context}", where=where) from None
    except yaml.YAMLError as failure:
        raise error(f"is not YAML: {str(failure)[:120]}", where=source) from None
    reader = _Reader(source, error, problems)
    value = None if root is None else reader.value(root, (), ())
    return YamlSource(value, source, reader.lines)


class _Reader:
    def __init__(
        self, source: str, error: type[LayerweaverError], problems: list[LayerweaverError] | None
    ) -> None:
        self.source, self.error, self.problems = source, error, problems
        self.lines: dict[KeyPath, int] = {}
        self.scalars = yaml.constructor.SafeConstructor()
        self.count = 0

    def refuse(self, what: str, node: yaml.Node, accepted: str = "") -> LayerweaverError:
        return self.error(what, where=f"{self.source}:{node.start_mark.line + 1}", accepted=accepted)

    def note(self, problem: LayerweaverError) -> None:
        if self.problems is None:
            raise problem
        self.problems.append(problem)

    def value(self, node: yaml.Node, path: KeyPath, above: tuple[int, ...]) -> Any:
        self.count += 1
        if self.count > _MAX_VALUES or len(path) > _MAX_DEPTH or id(node) in above:
            raise self.refuse("has too many values, levels or repeated anchors", node)
        self.lines.setdefault(path, node.start_mark.line + 1)
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*path, index), above) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return self.scalar(node)
        self.note(self.refuse(f"the tag {str(node.tag)[:40]!r} is not accepted", node, "plain values only"))
        return None

    def mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[int, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                self.note(self.refuse("a key must be plain text", key_node))
                continue
            key = self.text(str(key_node.value), key_node)
            if key in result:
                self.note(self.refuse(f"the key {key[:60]!r} appears twice", key_node, "keep one of them"))
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, (*path, key), above)
        return result

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        number = node.style is None and _EXPONENT.fullmatch(text)
        if node.tag.endswith((":str", ":timestamp")) and not number:
            return self.text(text, node)
        with contextlib.suppress(ValueError, LookupError, OverflowError, yaml.YAMLError):
            if len(text) <= _MAX_NUMBER:
                return float(text) if number else self.scalars.construct_object(node)
        self.note(self.refuse(f"{text[:40]!r} is not understood as a value", node))
        return None

    def text(self, text: str, node: yaml.Node) -> str:
        """A text of whole characters: escapes can write halves of them, which no file can hold."""
        try:
            text.encode()
        except UnicodeEncodeError:
            self.note(self.refuse(f"{text[:40]!r} holds half a character", node, "plain text"))
            return ""
        return text
