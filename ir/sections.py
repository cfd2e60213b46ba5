"""Sections of documents that strangers write: strict mappings, and every mistake with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from layerweaver.ir.errors import LayerweaverError
from layerweaver.ir.spelling import nearest, nearest_of
from layerweaver.ir.text import counted
from layerweaver.ir.yaml_source import YamlSource

__all__ = ["Section", "keys_at", "mistakes", "refusal", "validated"]

MAX_MISTAKES = 200
MAX_PLACE = 300

SectionT = TypeVar("SectionT", bound="Section")
KeyPath = tuple[str | int, ...]


class Section(BaseModel):
    """A mapping of a document: unknown keys are refused, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def refusal(message: str, *path: str) -> PydanticCustomError:
    """A refusal of a value, or of one key of a mapping; what is accepted follows a semicolon."""
    return PydanticCustomError("value", "{text}", {"text": message, "path": list(path)})


def validated(model: type[SectionT], source: YamlSource, error: type[LayerweaverError]) -> SectionT:
    """A document as a section.

    Raises:
        LayerweaverError: Of class ``error``: the first mistake, with file, line, field and what is accepted,
            and how many more there are.
    """
    found = mistakes(model, source, error)
    if not isinstance(found, list):
        return found
    first, others = found[0], len(found) - 1
    more = f" ({others} more mistake{'s' if others > 1 else ''})" if others else ""
    raise error(first.what + more, where=first.where, accepted=first.accepted)


def mistakes(
    model: type[SectionT], source: YamlSource, error: type[LayerweaverError]
) -> SectionT | list[LayerweaverError]:
    """A document as a section, or every mistake in it by line; of very many the first."""
    if not isinstance(source.value, dict):
        return [
            error(
                "is not a mapping",
                where=source.where(),
                accepted=f"keys here: {', '.join(_written(model))}",
            )
        ]
    try:
        return model.model_validate(source.value)
    except ValidationError as failure:
        items = failure.errors(include_url=False)
    unknown = [tuple(item["loc"]) for item in items if item["type"] == "extra_forbidden"]
    meant = {(*path[:-1], nearest_of(str(path[-1]), keys_at(model, path[:-1]))) for path in unknown}
    found: dict[tuple[str, object], LayerweaverError] = {}
    for item in sorted(items, key=lambda item: source.line(_path(item))):
        # A misspelt key is one mistake: that the right one is missing need not be said as well.
        if (item["type"] == "missing" and tuple(item["loc"]) in meant) or len(found) == MAX_MISTAKES:
            continue
        problem = _mistake(item, model, source, error)
        # Alternatives that all refuse one value make one mistake.
        found.setdefault((problem.where, item["loc"] if item["type"] == "missing" else ()), problem)
    return list(found.values())


def _path(item: Any) -> KeyPath:
    return (*item["loc"], *item.get("ctx", {}).get("path", ()))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a type can be: itself, an alternative, or an element."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _written(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields by their keys as documents write them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def keys_at(model: type[BaseModel], path: Sequence[str | int]) -> tuple[str, ...]:
    """Keys of the section at a path, empty when it is none; steps that choose an alternative are followed."""
    return tuple(dict.fromkeys(key for one in _sections_at(model, path) for key in _written(one)))


def _sections_at(model: type[BaseModel], path: Sequence[str | int]) -> list[type[BaseModel]]:
    candidates: list[type[BaseModel]] = [model]
    for step in path:
        fields = [keys[str(step)] for keys in map(_written, candidates) if str(step) in keys]
        if fields:
            candidates = [inner for field in fields for inner in _models(field.annotation)]
        elif not isinstance(step, int):
            candidates = [one for one in candidates if _is_alternative(one, step)]
    return candidates


def _is_alternative(model: type[BaseModel], name: str) -> bool:
    kind = model.model_fields.get("kind")
    return model.__name__ == name or (kind is not None and name in get_args(kind.annotation))


def _excluded_by(key: str, model: type[BaseModel], path: KeyPath, document: Any) -> list[str]:
    """Keys of the section at a path that no alternative has beside a key that another one has."""
    for step in path:
        listed = isinstance(document, list) and isinstance(step, int)
        if listed or (isinstance(document, dict) and step in document):
            document = document[step]
    sections = _sections_at(model, path)
    known = {other for one in sections for other in _written(one)}
    beside = {other for one in sections if key in _written(one) for other in _written(one)}
    if key not in known or not isinstance(document, dict):
        return []
    return [repr(other) for other in document if other in known - beside]


def _mistake(
    item: Any, model: type[BaseModel], source: YamlSource, error: type[LayerweaverError]
) -> LayerweaverError:
    path, context, given = _path(item), item.get("ctx", {}), item["input"]
    shown = (
        "a section" if isinstance(given, (dict, list)) else "nothing" if given is None else repr(given)[:60]
    )
    match item["type"]:
        case "extra_forbidden":
            key = str(path[-1])[:60]
            others = _excluded_by(key, model, path[:-1], source.value)
            message = (
                f"{key!r} does not go with {', '.join(others)}; give one or the other"
                if others
                else f"unknown key {key!r}; {nearest(key, keys_at(model, path[:-1]))}"
            )
        case "missing":
            keys = ", ".join(keys_at(model, path[:-1]))
            message = f"the key {str(path[-1])!r} is missing; keys here: {keys}"
            if isinstance(path[-1], int):  # of a tuple
                message = f"has {path[-1]} of the values that belong there; give all of them"
                path = path[:-1]
        case "union_tag_invalid":
            tags = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
            tag = str(context["tag"])[:40]
            path, message = (*path, "kind"), f"unknown kind {tag!r}; {nearest(tag, tags)}"
        case "union_tag_not_found":
            message = "the key 'kind' is missing; such as {kind: poisson, qps: 300, seed: 1}"
        case "literal_error" | "enum":
            message = f"{str(given)[:40]!r} is not accepted; give {context['expected']}"
        case "greater_than":
            message = f"{shown} is too small; give more than {context['gt']:g}"
        case "greater_than_equal":
            message = f"{shown} is too small; give {context['ge']:g} or more"
        case "less_than_equal":
            message = f"{shown} is too large; give {context['le']:g} or less"
        case "too_long" if "max_length" in context:
            message = (
                f"has {counted(context['actual_length'], 'value')}; give at most {context['max_length']}"
            )
        case "too_short" if "min_length" in context:
            message = (
                f"has {counted(context['actual_length'], 'value')}; give at least {context['min_length']}"
            )
        case "model_type" | "dict_type":
            keys = ", ".join(keys_at(model, path))
            message = f"{shown} is not a mapping; {f'keys here: {keys}' if keys else 'give NAME: VALUE'}"
        case "tuple_type" | "list_type":
            message = f"{shown} is not a list; put it, or several, in [ ]"
        case "string_type" if isinstance(given, bool):
            message = f"{shown} is no text; quote it, as YAML takes on, off, yes and no for truth values"
        case "value":
            message = item["msg"]
        case _:
            message = f"{item['msg'][0].lower()}{item['msg'][1:]}, not {shown}"
    what, _, accepted = message.partition("; ")
    return error(what, where=source.where(path)[:MAX_PLACE], accepted=accepted)
