"""Options of the form ``--dim N=1`` and ``--shape input=1x3x224x224``, also with an entry's name before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import typer

__all__ = ["Bindings", "parse_batches", "parse_bindings", "parse_models", "parse_overrides"]

_INTEGER = re.compile(r"[0-9]{1,12}")
_REAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
_SEPARATOR = re.compile(r"\s*[x,×]\s*")


@dataclass(frozen=True, slots=True)
class Bindings:
    """Bound dimensions, shapes, values and trip counts of one model."""

    dims: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    trip_counts: dict[str, int] = field(default_factory=dict)
    values: dict[str, tuple[float, ...]] = field(default_factory=dict)


def _number(text: str, option: str, whole: str, least: int) -> int:
    if not _INTEGER.fullmatch(text) or int(text) < least:
        raise typer.BadParameter(f"{option} {whole!r}: {text!r} is not a whole number of {least} or more")
    return int(text)


def _split(option: str, text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name or not value:
        raise typer.BadParameter(f"{option} {text!r} is not of the form {form}")
    return name, value


def _check_new(known: Mapping[str, object], option: str, text: str, name: str) -> None:
    if name in known:
        raise typer.BadParameter(f"{option} {text!r}: {name!r} is given twice; give it once")


def _owner(name: str, entries: Iterable[str]) -> tuple[str | None, str]:
    """Split a leading ``ENTRY:`` off; ONNX names may contain colons, so only known entries count."""
    for entry in sorted(entries, key=len, reverse=True):
        if name.startswith(f"{entry}:") and len(name) > len(entry) + 1:
            return entry, name[len(entry) + 1 :]
    return None, name


def parse_bindings(
    dims: Iterable[str],
    shapes: Iterable[str],
    trip_counts: Iterable[str] = (),
    entries: Iterable[str] = (),
    *,
    values: Iterable[str] = (),
) -> dict[str | None, Bindings]:
    """Read the options; the key None holds what applies to every model.

    Raises:
        typer.BadParameter: If an option has the wrong form or binds again what another one bound.
    """
    names = tuple(entries)
    bound: dict[str | None, Bindings] = {None: Bindings()} | {entry: Bindings() for entry in names}
    for text in dims:
        name, value = _split("--dim", text, "NAME=NUMBER, for example --dim seq=384")
        entry, name = _owner(name, names)
        _check_new(bound[entry].dims, "--dim", text, name)
        bound[entry].dims[name] = _number(value, "--dim", text, 0)
    for text in shapes:
        name, value = _split("--shape", text, "INPUT=1x3x224x224")
        entry, name = _owner(name, names)
        _check_new(bound[entry].shapes, "--shape", text, name)
        extents = [] if value in {"()", "scalar"} else _SEPARATOR.split(value.strip("[]()").lower())
        bound[entry].shapes[name] = tuple(_number(extent, "--shape", text, 0) for extent in extents)
    for text in trip_counts:
        name, value = _split("--trip-count", text, "NODE=NUMBER")
        entry, name = _owner(name, names)
        _check_new(bound[entry].trip_counts, "--trip-count", text, name)
        bound[entry].trip_counts[name] = _number(value, "--trip-count", text, 0)
    for text in values:
        name, value = _split("--value", text, "NAME=NUMBER, for example --value frames=20")
        entry, name = _owner(name, names)
        _check_new(bound[entry].values, "--value", text, name)
        numbers = [number.strip() for number in value.split(",")]
        if wrong := [number for number in numbers if not _REAL.fullmatch(number)]:
            raise typer.BadParameter(f"--value {text!r}: {wrong[0]!r} is not a number")
        bound[entry].values[name] = tuple(
            float(number) if "." in number else int(number) for number in numbers
        )
    return bound


def merged(bound: Mapping[str | None, Bindings], entry: str) -> Bindings:
    """What applies to one entry: the options for all, overridden by its own."""
    common, own = bound[None], bound.get(entry, Bindings())
    return Bindings(
        common.dims | own.dims,
        common.shapes | own.shapes,
        common.trip_counts | own.trip_counts,
        common.values | own.values,
    )


def parse_batches(text: str) -> tuple[int, ...]:
    """Read ``1,8,16``.

    Raises:
        typer.BadParameter: If it is not a list of distinct whole numbers of 1 or more.
    """
    if ":" in text:
        raise typer.BadParameter(
            f"--batch {text!r} names an entry; batch sizes are those of all entries: 1,8"
        )
    sizes = tuple(_number(part.strip(), "--batch", text, 1) for part in text.split(","))
    if len(set(sizes)) != len(sizes):
        raise typer.BadParameter(f"--batch {text!r} names a size twice")
    return tuple(sorted(sizes))


def parse_overrides(
    texts: Iterable[str], entries: Iterable[str], batches: Sequence[int]
) -> dict[str, dict[int, str]]:
    """Read ``[NAME[@BATCH]=]FILE`` words into entry -> batch size -> file.

    The name may be left out where there is one entry, the batch size where there is one.

    Raises:
        typer.BadParameter: If the entry or the batch size is not known or has two files.
    """
    names = tuple(entries)
    measured: dict[str, dict[int, str]] = {name: {} for name in names}
    form = "is not of the form NAME=FILE or NAME@BATCH=FILE"
    for text in texts:
        owner, equals, file = text.partition("=")
        name, at, size = owner.rpartition("@") if owner not in names else (owner, "", "")
        if not equals or name not in names:
            name, at, size, file = names[0], "", "", text
            if len(names) > 1:
                raise typer.BadParameter(f"--override {text!r} {form}; NAME is one of {', '.join(names)}")
        if not file or (not at and len(batches) > 1):
            raise typer.BadParameter(f"--override {text!r} {form}; measured costs are of one batch size")
        batch = _number(size, "--override", text, 1) if at else batches[0]
        if batch not in batches:
            raise typer.BadParameter(f"--override {text!r}: batch {batch} is not compiled")
        if batch in measured[name]:
            raise typer.BadParameter(f"--override {text!r}: batch {batch} of {name!r} has two files")
        measured[name][batch] = file
    return measured


def parse_models(texts: Iterable[str]) -> dict[str, str]:
    """Read ``[NAME=]MODEL`` words into entry name -> model reference, in order.

    Raises:
        ModelError: If a word has another form.
        typer.BadParameter: If two entries have the same name.
    """
    from layerweaver.scheduler.compile.compiler import parse_request

    models: dict[str, str] = {}
    for text in texts:
        request = parse_request(text)
        if request.entry in models:
            raise typer.BadParameter(
                f"two models are named {request.entry!r}; give one a name of its own: NAME=MODEL"
            )
        models[request.entry] = request.source
    return models
