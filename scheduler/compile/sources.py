"""Where a model comes from: an ONNX file or the zoo.

This is the one place that joins the importer and the zoo; both load only when used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerweaver.ir import LayerGraph, ModelError
from layerweaver.ir.given import (
    PATHS,
    check_flags,
    check_given,
    given_list,
    given_mapping,
    given_number,
    given_whole,
)
from layerweaver.scheduler.compile.given_graphs import GRAPH_PREFIX, given
from layerweaver.scheduler.compile.kept_graphs import Imported, content_of, graph_name, keep, kept

if TYPE_CHECKING:
    from layerweaver.frontend.options import ImportOptions
    from layerweaver.frontend.reader.model import OnnxModel

__all__ = ["ZOO_PREFIX", "ModelSource", "load_graph", "zoo_bytes"]

ZOO_PREFIX = "zoo:"


def zoo_bytes(name: str) -> bytes:
    """A zoo model as the bytes of its ONNX file.

    Raises:
        ModelError: If there is no such model.
    """
    from layerweaver import models  # noqa: PLC0415 - the zoo loads onnx

    try:
        content: bytes = models.build(name).SerializeToString(deterministic=True)
    except models.UnknownModelError as error:
        near = error.nearest or models.names()
        raise ModelError(
            f"the zoo has no model {name!r}",
            where=ZOO_PREFIX + name,
            accepted=f"nearest: {', '.join(ZOO_PREFIX + other for other in near)}",
        ) from None
    return content


class ModelSource:
    """A model that is read when importing it turns out to be needed.

    Args:
        ref: Path of an ONNX file, or ``zoo:NAME``.
    """

    def __init__(self, ref: str | Path) -> None:
        check_given(ref, PATHS, ModelError, "give the path of an ONNX file or zoo:NAME")
        self.ref = ref
        self._zoo = str(ref)[len(ZOO_PREFIX) :] if str(ref).startswith(ZOO_PREFIX) else None

    @cached_property
    def _content(self) -> str | None:
        return content_of(Path(self.ref)) if self._zoo is None else str(self.ref)

    @cached_property
    def _read(self) -> tuple[OnnxModel, dict[str, int]]:
        """The model and the dimensions it is bound to unless told otherwise."""
        from layerweaver.frontend.reader.file import (  # noqa: PLC0415 - loads on first use
            read_model,
            read_model_bytes,
        )

        if self._zoo is None:
            return read_model(Path(self.ref)), {}
        from layerweaver import models  # noqa: PLC0415 - the zoo loads onnx

        data = zoo_bytes(self._zoo)
        model = read_model_bytes(data, str(self.ref))
        return replace(model, sha256=hashlib.sha256(data).hexdigest()), dict(models.defaults(self._zoo))

    @property
    def file_name(self) -> str:
        """Name of the file without its folder, so that moved files are the same; or ``zoo:NAME``."""
        return str(self.ref) if self._zoo is not None else Path(self.ref).name

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        from layerweaver.frontend.reader.file import file_sha256  # noqa: PLC0415

        return self.declared.sha256 or self._content or file_sha256(self.ref)

    @property
    def declared(self) -> OnnxModel:
        """The model as its file has it.

        Raises:
            ModelError: If it does not exist or cannot be read.
        """
        return self._read[0]

    def check_names(self, dims: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse to bind dimensions or shapes that the model does not have, without importing it.

        Raises:
            ModelError: If the model cannot be read, or with the nearest that it has.
        """
        from layerweaver.frontend.options import ImportOptions  # noqa: PLC0415 - loads on first use
        from layerweaver.frontend.resolve.binding import check_names  # noqa: PLC0415

        options = ImportOptions(dims=dims, shapes=shapes)
        if str(self.ref).startswith(GRAPH_PREFIX):
            _given_as(str(self.ref), options)
        else:
            check_names(self.declared, options)

    def imported(self, options: ImportOptions) -> Imported:
        """Import the model, bound to the zoo's dimensions where the options leave it open.

        Raises:
            ModelError: If the model does not exist, cannot be read, bound or lowered.
        """
        if str(self.ref).startswith(GRAPH_PREFIX):
            return _given_as(str(self.ref), options)
        name = self.kept_name(options)
        found = kept(name, Imported) if name else None
        if found is None:
            found = self.imported_anew(options)
            if name:
                keep(name, found)
        return found

    def kept_name(self, options: ImportOptions, what: str = "") -> str | None:
        """Name under which what is made of the model is kept; None where it is not.

        Args:
            options: What the model is bound to.
            what: What is made of it; a graph by default.
        """
        return self._content and graph_name(self._content, f"{what}{self.ref}", options)

    def imported_anew(self, options: ImportOptions) -> Imported:
        """As :meth:`imported`, without a look at what is kept."""
        from layerweaver.frontend.importer import import_model  # noqa: PLC0415 - loads every operator

        model, defaults = self._read
        bound = _bound_dims(model, defaults, options)
        graph = import_model(model, replace(options, dims=bound))
        return Imported(graph, self.sha256, bound)


def _given_as(reference: str, options: ImportOptions) -> Imported:
    """A graph that was given, at the batch size asked for."""
    graph = given(reference)
    if options.dims or options.shapes or options.values or options.trip_counts:
        raise ModelError(
            "a graph that was given has nothing left to bind", where=reference, accepted="batch alone"
        )
    at_batch = graph if options.batch is None else graph.with_batch(options.batch)
    return Imported(at_batch, hashlib.sha256(reference.encode()).hexdigest(), {})


def _bound_dims(
    model: OnnxModel,
    defaults: Mapping[str, int],
    options: ImportOptions,
) -> dict[str, int]:
    """The user's dimensions over the defaults that neither a shape nor a batch size already fixes."""
    fixed = {
        dim
        for value in model.graph.inputs
        if value.name in options.shapes and value.shape is not None
        for dim in value.shape
        if isinstance(dim, str)
    }
    if options.batch is not None:
        fixed.add("batch")
    return {**{name: size for name, size in defaults.items() if name not in fixed}, **options.dims}


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    extents = given_list(
        f"shape of {name}:", shape, ModelError, "give whole numbers, such as (1, 3, 224, 224)"
    )
    return tuple(given_whole(f"shape of {name}:", extent, ModelError) for extent in extents)


def _value(name: str, value: Any) -> tuple[float, ...]:
    numbers = "give finite numbers, such as (16,)"
    elements = given_list(f"value of {name}:", value, ModelError, numbers)
    return tuple(
        element
        if isinstance(element, bool)
        else given_number(f"value of {name}:", element, ModelError, numbers)
        for element in elements
    )


def _pairs(state: Any) -> tuple[tuple[str, str], ...]:
    """Pairs of state inputs and outputs."""
    accepted = "give pairs of an input and an output, such as [('past', 'present')]"
    pairs = [
        given_list("state", pair, ModelError, accepted)
        for pair in given_list("state", state, ModelError, accepted)
    ]
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(name, str) for name in pair):
            raise ModelError(f"state {str(pair)[:40]!r} is not accepted", accepted=accepted)
    return tuple((before, after) for before, after in pairs)


def given_options(
    *,
    dims: Mapping[str, int] | None,
    shapes: Mapping[str, tuple[int, ...]] | None,
    values: Mapping[str, tuple[float, ...]] | None,
    batch: int | None,
    trip_counts: Mapping[str, int] | None,
    strict: bool,
    fuse: bool = True,
    state: Sequence[tuple[str, str]] | None,
) -> ImportOptions:
    """What :func:`load_graph` was given, checked, with NumPy's numbers as plain ones.

    Raises:
        ModelError: If something is of another kind.
    """
    from layerweaver.frontend.options import ImportOptions  # noqa: PLC0415

    extents = {
        name: {key: given_whole(f"{name} {key}", one, ModelError) for key, one in whole.items()}
        for name, whole in (
            ("dims", given_mapping("dims", dims, ModelError)),
            ("trip_counts", given_mapping("trip_counts", trip_counts, ModelError)),
        )
    }
    check_flags(ModelError, strict=strict, fuse=fuse)
    return ImportOptions(
        dims=extents["dims"],
        shapes={
            name: _shape(name, shape) for name, shape in given_mapping("shapes", shapes, ModelError).items()
        },
        values={
            name: _value(name, value) for name, value in given_mapping("values", values, ModelError).items()
        },
        trip_counts=extents["trip_counts"],
        batch=None if batch is None else given_whole("batch", batch, ModelError),
        state=() if state is None else _pairs(state),
        strict=bool(strict),
        fuse=bool(fuse),
    )


def load_graph(
    ref: str | Path,
    *,
    dims: Mapping[str, int] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, tuple[float, ...]] | None = None,
    batch: int | None = None,
    trip_counts: Mapping[str, int] | None = None,
    strict: bool = False,
    fuse: bool = True,
    state: Sequence[tuple[str, str]] | None = None,
) -> LayerGraph:
    """Import a model as a layer graph.

    Args:
        ref: Path of an ONNX file, or ``zoo:NAME``; what is left unbound of a zoo model takes its defaults.
        dims: Symbolic dimensions, by name.
        shapes: Input shapes, by input name.
        values: Values of inputs, or of values inside, that shapes depend on.
        batch: Batch size; None leaves it to the model and the bindings.
        trip_counts: Trip counts of loops, by node name.
        strict: Refuse operators that nobody knows instead of pricing them by their outputs.
        fuse: Fuse vector work with the matrix layer before it.
        state: Pairs of state inputs and outputs; None lets the importer find them.

    Raises:
        ModelError: If the model does not exist, cannot be read, bound or lowered.
    """
    options = given_options(
        dims=dims,
        shapes=shapes,
        values=values,
        batch=batch,
        trip_counts=trip_counts,
        strict=strict,
        fuse=fuse,
        state=state,
    )
    return ModelSource(ref).imported(options).graph
