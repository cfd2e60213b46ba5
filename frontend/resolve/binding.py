"""Binding of the dimensions that a file leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from layerweaver.frontend.node.values import text
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.model import OnnxModel, ValueInfo
from layerweaver.frontend.resolve.batch_axis import SHORT_FOR_BATCH, is_other
from layerweaver.frontend.resolve.expressions import parse_dim, solve
from layerweaver.frontend.resolve.names import nearest_name, without_placeholders
from layerweaver.ir.errors import ModelError
from layerweaver.ir.text import counted

__all__ = ["Binding", "bind"]


@dataclass(frozen=True, slots=True)
class _Problem:
    """Something unbound: where (ending in a colon), what, and the option that binds it."""

    where: str
    what: str
    option: str


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """What is bound.

    Attributes:
        shapes: Shape of every real input; None for one that is declared without a rank (an optional or
            a sequence of anything).
        dims: Extent of every known dimension name.
        pinned: Shapes given for values inside the graph.
        batch: Extent of the batch dimension; None where no name says which it is.
        warnings: What was assumed.
    """

    shapes: Mapping[str, tuple[int, ...] | None]
    dims: Mapping[str, int]
    pinned: Mapping[str, tuple[int, ...]]
    batch: int | None
    warnings: tuple[str, ...]


_KEYS = {"--dim": "dims", "--shape": "shapes"}
"""What a scenario calls the options that bind."""


class _Binder:
    def __init__(
        self, model: OnnxModel, dims: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        self.model = model
        self.inputs = without_placeholders(
            [value for value in model.graph.inputs if value.name not in model.graph.initializers]
        )
        self.problems: list[_Problem] = []
        self.given = dict(dims)
        self.shapes = dict(shapes)
        self.known: dict[str, int] = {}
        self.warnings: list[str] = []
        self.batch_names: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """All dimension names of the inputs, whole and as parts of expressions."""
        found: dict[str, None] = {}
        for value in self.inputs:
            for dim in value.shape or ():
                if isinstance(dim, str):
                    for name in parse_dim(dim).names:
                        found.setdefault(name)
                    found.setdefault(dim)
        return list(found)

    def check_names(self) -> None:
        """Refuse ``--dim`` and ``--shape`` of things that the model does not have."""
        source = self.model.source
        names = self.names()
        inner: set[str] = set()
        if any(name not in names for name in self.given):
            for value in (*self.model.graph.value_infos.values(), *self.model.graph.outputs):
                for dim in value.shape or ():
                    if isinstance(dim, str):
                        inner.update((dim, *parse_dim(dim).names))
        for name, extent in self.given.items():
            if name not in names and name not in inner:
                raise ModelError(
                    f"no input has a dimension named {name}",
                    where=source,
                    accepted=nearest_name(name, names, "named dimensions"),
                )
            if extent < 0:
                raise ModelError(
                    f"dimension {name} cannot be {extent}", where=source, accepted="give 0 or more"
                )
        known = {value.name for value in self.inputs}
        for name, shape in self.shapes.items():
            if min(shape, default=0) < 0:
                raise ModelError(f"the shape of {name} cannot be {text(shape)}", where=source)
            if name not in known and not self.is_inner(name):
                raise ModelError(
                    f"no input is named {name}",
                    where=source,
                    accepted=nearest_name(name, list(known), "inputs"),
                )

    def is_inner(self, name: str) -> bool:
        return any(name in node.outputs for node in self.model.graph.nodes)

    def bind_given(self) -> None:
        """Take over ``--dim``, and what ``--shape`` says of names that ``--dim`` does not."""
        self.known.update(self.given)
        for _ in range(3):
            before = len(self.known)
            for value in self.inputs:
                shape = self.shapes.get(value.name)
                if shape is None:
                    continue
                if value.shape is not None and value.container == "tensor" and len(value.shape) != len(shape):
                    raise ModelError(
                        f"input {value.name} has {counted(len(value.shape), 'axis', 'axes')}, "
                        f"the shape given is {text(shape)}",
                        where=self.model.source,
                    )
                for dim, extent in zip(value.shape or (), shape, strict=False):
                    if isinstance(dim, str):
                        self.learn(dim, extent)
                        self.refuse_other(value.name, shape, dim, extent)
            if len(self.known) == before:
                break

    def learn(self, dim: str, extent: int) -> None:
        expression = parse_dim(dim)
        if expression.names == (dim,):
            self.known.setdefault(dim, extent)
        elif found := solve(expression, extent, self.known):
            self.known.setdefault(*found)

    def refuse_other(self, name: str, shape: tuple[int, ...], dim: str, extent: int) -> None:
        """Refuse a shape of an input that says something else of a dimension than ``--dim`` does."""
        stated = parse_dim(dim).value(self.given)
        if stated not in {None, extent}:
            raise ModelError(
                f"dimension {dim} is {stated}, but the shape given for {name}, {text(shape)}, says {extent}",
                where=self.model.source,
                accepted="give one of them",
            )

    def find_batch(self) -> None:
        """Which names mean the batch: names that say so, else the first axis of inputs."""
        plain = [name for name in self.names() if parse_dim(name).names == (name,)]
        shapes = [value.shape for value in self.inputs if value.shape]
        square = {shape[0] for shape in shapes if shape[0] in shape[1:]}
        leading = {shape[0] for shape in shapes} - square
        leading |= {shape[1] for shape in shapes if len(shape) > 1 and is_other(shape[0])}
        said = [name for name in plain if "batch" in name.lower()]
        said = said or [name for name in plain if name in leading and name.lower() in SHORT_FOR_BATCH]
        if said:
            self.batch_names = tuple(said)
            return
        first: dict[str, None] = {}
        for value in self.inputs:
            if value.shape and value.shape[0] in square:
                continue  # as many rows as columns: no batch
            if value.shape and len(value.shape) > 1 and isinstance(value.shape[0], str):
                first.setdefault(value.shape[0])
        if not first:
            for value in self.inputs:
                if value.shape and len(value.shape) == 1 and isinstance(value.shape[0], str):
                    first.setdefault(value.shape[0])
        self.batch_names = tuple(
            name for name in first if parse_dim(name).names == (name,) and not is_other(name)
        )

    def other_than_batch(self) -> str | None:
        """The first input of several axes, if the name of its first one says that it is not the batch."""
        for value in self.inputs:
            if value.shape and len(value.shape) > 1:
                return f"input {value.name} is {value.shape[0]}" if is_other(value.shape[0]) else None
        return None

    def batch_of(self, batch: int | None) -> int:
        """Bind the batch; its extent is what was asked for, given, declared, or 1."""
        if batch is not None:
            if batch < 1:
                raise ModelError(
                    f"a batch cannot be {batch}", where=self.model.source, accepted="give 1 or more"
                )
            for name in self.batch_names:
                if self.known.setdefault(name, batch) != batch:
                    given = self.known[name]
                    raise ModelError(
                        f"dimension {name} is {given} but the batch is {batch}",
                        where=self.model.source,
                        accepted=f"say --batch {given} and leave {name} out of --dim and --shape "
                        f"(in a scenario: leave {name} out; a tenant's batch is of requests)",
                    )
        for name in self.batch_names:
            if self.known.get(name) == 0:
                raise ModelError(
                    f"the batch, dimension {name}, cannot be 0",
                    where=self.model.source,
                    accepted="give 1 or more",
                )
        assumed = [name for name in self.batch_names if name not in self.known]
        for name in assumed:
            self.known[name] = 1
        if assumed:
            self.warnings.append(
                f"dimension {', '.join(assumed)} is taken as the batch, 1; give --batch or --dim to change it"
            )
        return batch if batch is not None else 1

    def shape_of(self, value: ValueInfo, batch: int) -> tuple[int, ...] | None:
        given = self.shapes.get(value.name)
        if given is not None:
            return tuple(given)
        if value.shape is None:
            if value.container != "tensor":
                return None
            self.problems.append(
                _Problem("", f"input {value.name} has no declared shape", f"--shape {value.name}=...")
            )
            return None
        extents: list[int] = []
        unknown = [axis for axis, dim in enumerate(value.shape) if dim is None]
        if unknown and unknown != [0]:
            which = " and ".join(map(str, unknown))
            what = f"extent of axis {which} is" if len(unknown) == 1 else f"extents of axes {which} are"
            known = "x".join(str(dim) if isinstance(dim, int) else "?" for dim in value.shape)
            problem = _Problem(
                f"input {value.name}: ", f"the {what} unknown", f"--shape {value.name}={known}"
            )
            self.problems.append(problem)
            return None
        for axis, dim in enumerate(value.shape):
            if isinstance(dim, str):
                extents.append(self.named(value, axis, dim))
            elif dim is None:
                what = f"input {value.name}: axis 0 is unknown, taken as the batch, {batch}"
                self.warnings.append(f"{what}; give --shape to change it")
                extents.append(batch)
            else:
                extents.append(dim)
        if 0 in value.shape:
            self.warnings.append(f"input {value.name} is empty, {text(extents)}; give --shape to change it")
        return tuple(extents)

    def refuse(self) -> None:
        """Refuse what is unbound, all of it at once."""
        if not self.problems:
            return
        options = dict.fromkeys(problem.option for problem in self.problems)
        first = self.problems[0]
        place = f"{self.model.source}: {first.where}".removesuffix(": ")
        what = first.what
        if len(options) > 1:
            place = self.model.source
            shown = {problem.option: f"{problem.where}{problem.what}" for problem in reversed(self.problems)}
            what = ", ".join(shown[option] for option in options)
        keys = dict.fromkeys(_KEYS[option.partition(" ")[0]] for option in options)
        accepted = f"give {' and '.join(options)} (in a scenario: {' and '.join(keys)})"
        raise ModelError(what, where=place, accepted=accepted)

    def named(self, value: ValueInfo, axis: int, dim: str) -> int:
        expression = parse_dim(dim)
        extent = expression.value(self.known)
        missing = [name for name in expression.names if name not in self.known]
        where = f"{self.model.source}: input {value.name}"
        if extent is None and missing:
            options = " and ".join(f"--dim {name}=N" for name in missing)
            what = f"dimension {dim} (axis {axis}) is not bound"
            self.problems.append(_Problem(f"input {value.name}: ", what, options))
            return 1
        if extent is None or extent < 0:
            raise ModelError(
                f"dimension {dim} (axis {axis}) comes to {'nothing' if extent is None else extent}",
                where=where,
                accepted="give other values for " + ", ".join(expression.names),
            )
        return extent


def check_names(model: OnnxModel, options: ImportOptions) -> None:
    """Refuse dimensions and shapes of what the model does not have.

    Raises:
        ModelError: With the nearest that it has.
    """
    _Binder(model, options.dims, options.shapes).check_names()


def bind(model: OnnxModel, options: ImportOptions) -> Binding:
    """Give every input of ``model`` a shape.

    Shapes given override what the file declares; names in them are learned, also through linear
    expressions. The batch is the dimension whose name says so, else the first axis of the inputs; unbound,
    it is 1 with a warning. Everything else must be given.

    Raises:
        ModelError: A name is unknown, a dimension stays unbound, or the values contradict each other.
    """
    binder = _Binder(model, options.dims, options.shapes)
    binder.check_names()
    binder.bind_given()
    binder.find_batch()
    extent = binder.batch_of(options.batch)
    bound = {value.name: binder.shape_of(value, extent) for value in binder.inputs}
    binder.refuse()
    names = {value.name for value in binder.inputs}
    pinned = {name: tuple(shape) for name, shape in binder.shapes.items() if name not in names}
    actual = next((binder.known[name] for name in binder.batch_names if name in binder.known), None)
    other = binder.other_than_batch()
    if actual is None and other is not None:
        if (options.batch or 1) > 1:
            raise ModelError(
                f"its batch axis is unknown: axis 0 of {other}",
                where=model.source,
                accepted="give batch 1, or a file whose inputs have a batch axis",
            )
        actual = 1
    return Binding(bound, binder.known, pinned, actual, tuple(binder.warnings))
