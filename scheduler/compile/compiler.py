"""From model files to a schedule profile: import, cost, table, for several models and batch sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from layerweaver.costmodel.table import CostTable
from layerweaver.ir import LayerGraph, ModelError, ProfileError
from layerweaver.ir.files import is_file
from layerweaver.ir.given import check_given, given_list, given_whole
from layerweaver.ir.limits import MAX_QUANTITY, MAX_ROWS, MAX_VARIANTS
from layerweaver.scheduler.compile.kept_costs import called, costs_name, keep_costs, kept_costs
from layerweaver.scheduler.compile.kept_graphs import is_in_memory
from layerweaver.scheduler.compile.sources import ZOO_PREFIX, ModelSource, given_options
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.profile.profile import DecoderEntry, Profile, Provenance

if TYPE_CHECKING:
    from layerweaver.costmodel import NpuConfig

__all__ = [
    "ModelRequest",
    "compile_models",
    "entry_name",
    "parse_request",
    "profile_graph",
]

_GROUPS = "give lists of entry names, such as [['vision', 'text']]"
_ENTRY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model to compile.

    Attributes:
        entry: Entry name in the profile.
        source: Path of an ONNX file, or ``zoo:NAME``.
        batches: Batch sizes, each giving one entry.
        dims: Symbolic dimensions to bind.
        shapes: Input shapes to bind.
        values: Values of inputs, or of values inside, that shapes depend on.
        trip_counts: Trip counts of loops that cannot be known from the graph.
        state: Pairs of graph input and output that feed back; None matches them by name.
        strict: Refuse operators that nobody knows instead of pricing them by their outputs.
        incomplete: Compile although work is missing from the totals.
        overrides: Per batch size, a CSV whose measured costs replace those of the layers that it names.
        iterations: Whether it is a language model, whose batch, seq and past stay open.
        longest_us: Layers whose rows take longer are cut; None cuts none.
    """

    entry: str
    source: str
    batches: tuple[int, ...] = (1,)
    dims: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    trip_counts: Mapping[str, int] = field(default_factory=dict)
    state: Sequence[tuple[str, str]] | None = None
    strict: bool = False
    incomplete: bool = False
    overrides: Mapping[int, str | Path] = field(default_factory=dict)
    iterations: bool = False
    longest_us: float | None = None


def entry_name(source: str) -> str:
    """The name an entry has unless it is given one: the zoo name or the file's stem."""
    return source[len(ZOO_PREFIX) :] if source.startswith(ZOO_PREFIX) else Path(source).stem


def parse_request(text: str) -> ModelRequest:
    """Read ``[NAME=]MODEL``; an existing file whose name contains ``=`` is taken as a path.

    Raises:
        ModelError: If the name or the model is empty.
    """
    name, equals, source = text.partition("=")
    if not equals or (name and not _ENTRY_NAME.fullmatch(name)) or is_file(text):
        name, source = entry_name(text), text
    if not name:
        raise ModelError("the entry name is empty", where=text or "MODEL", accepted="write NAME=MODEL")
    if not source.strip():
        raise ModelError("no model is given", where=text, accepted="give a path or zoo:NAME")
    return ModelRequest(name, source)


def profile_graph(
    graph: LayerGraph,
    npu: NpuConfig,
    *,
    entry: str | None = None,
    overrides: str | Path | None = None,
    longest_us: float | None = None,
) -> ModelProfile:
    """Cost a layer graph on an NPU and build its offline tables.

    Args:
        graph: The layers, at their batch size.
        npu: The NPU.
        entry: Entry name; None takes the graph's.
        overrides: CSV of measured costs that replace those of the layers it names, in cycles of the NPU.
        longest_us: Layers whose rows take longer are cut; None cuts none.

    Raises:
        ConfigError: If the CSV is wrong or names a layer that the graph does not have.
        ModelError: If a layer is too large, or all together take more cycles or bytes than are counted.
    """
    from layerweaver.costmodel import cost_graph, override_costs  # noqa: PLC0415 - loads on first use

    if overrides is not None and longest_us is not None:
        raise ModelError(
            "measured costs are of whole layers",
            where=graph.name,
            accepted="give measured costs or a longest row, not both",
        )
    costed = cost_graph(graph, npu, longest_us=longest_us)
    table = costed.table if overrides is None else override_costs(costed, overrides)
    name = graph.name if entry is None else entry
    if table.model != name:
        table = replace(table, model=name)
    _check_size(table, graph.name)
    return ModelProfile(name, table, build_offline(table))


def _check_size(table: CostTable, source: str) -> None:
    bytes_per_cycle = table.machine.bandwidth_numerator / table.machine.bandwidth_denominator
    cycles = table.compute_cycles.sum(dtype=np.float64)
    traffic = table.dram_bytes.sum(dtype=np.float64)
    # Every total that is stored or counted is at most this sum, give or take a cycle of rounding per row.
    if max(traffic, cycles + traffic / bytes_per_cycle + table.rows) > MAX_QUANTITY:
        raise ModelError(
            f"takes about {cycles:.2g} cycles of compute and {traffic:.2g} bytes per request at batch "
            f"{table.batch}; beyond 2^45 nothing is counted exactly",
            where=source,
            accepted="bind a smaller batch or smaller shapes, or give a faster NPU",
        )


def _checked(requests: Iterable[ModelRequest]) -> tuple[ModelRequest, ...]:
    checked = tuple(requests)
    if not checked:
        raise ProfileError("no model is given", accepted="name at least one model")
    seen: dict[str, str] = {}
    for request in checked:
        check_given(request, ModelRequest, ProfileError, "give [NAME=]MODEL as text, or a ModelRequest")
        if request.entry in seen:
            raise ProfileError(
                f"two models would have the entry name {request.entry!r}",
                where=f"{seen[request.entry]} and {request.source}",
                accepted="name them apart with NAME=MODEL",
            )
        seen[request.entry] = request.source
        sizes = given_list("batches", request.batches, ProfileError, "such as (1, 16)")
        if not sizes or min(given_whole("batch", size, ProfileError) for size in sizes) < 1:
            raise ProfileError("batch sizes must be 1 or more", where=request.source, accepted="such as 1,16")
        if len(set(request.batches)) != len(request.batches):
            raise ProfileError("a batch size is given twice", where=request.source, accepted="such as 1,16")
        for batch in request.overrides:
            if batch not in request.batches:
                raise ProfileError(
                    f"measured costs are given for batch {batch}, which is not compiled",
                    where=request.entry,
                    accepted=f"one of {', '.join(map(str, request.batches))}",
                )
    return checked


@cache
def _tool_version() -> str:
    return metadata.version("layerweaver")


def _named(path: str | Path) -> tuple[str, str]:
    """A file's name and the hash of its bytes."""
    from layerweaver.frontend.reader.file import file_sha256  # noqa: PLC0415 - loads on first use

    return Path(path).name, file_sha256(path)


def _compile_one(
    request: ModelRequest, config: NpuConfig, pinned: dict[str, int], tell: Callable[[str], None]
) -> Iterator[tuple[ModelProfile, Provenance]]:
    """Every batch size of one model; what it pins is noted in ``pinned``."""
    from layerweaver.costmodel.dram import pinned_bytes  # noqa: PLC0415 - loads on first use

    source = ModelSource(request.source)
    for batch in request.batches:
        tell(f"{request.entry} at batch {batch}")
        options = given_options(
            dims=request.dims,
            shapes=request.shapes,
            values=request.values,
            trip_counts=request.trip_counts,
            batch=batch,
            state=request.state,
            strict=request.strict,
        )
        measured = request.overrides.get(batch)
        graph = source.kept_name(options) if measured is None else None
        name = costs_name(graph, config, request.longest_us) if graph else None
        if graph and name and (known := kept_costs(name, graph)) is not None:
            yield called(known[0], request.entry), known[1]
            continue
        read = None if graph is None or is_in_memory(graph) else graph
        imported = source.imported(options)
        lacking = imported.graph.lacking
        if lacking and not request.incomplete:
            more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
            raise ModelError(
                f"work is missing from its totals: {lacking[0]}{more}",
                where=request.source,
                accepted="or take it as it is with --incomplete (in a scenario: incomplete: true)",
            )
        pinned[imported.graph.name] = pinned_bytes(imported.graph, config)
        taken = (
            () if measured is None else (f"batch {batch} takes measured costs from {Path(measured).name}",)
        )
        values = request.values.items()
        stated = (f"{name} is stated as {', '.join(map(str, value))}" for name, value in values)
        costed = profile_graph(
            imported.graph,
            config,
            entry=request.entry,
            overrides=measured,
            longest_us=request.longest_us,
        )
        origin = Provenance(
            source=source.file_name,
            sha256=imported.sha256,
            dims=dict(imported.dims),
            shapes=dict(request.shapes),
            trip_counts=dict(request.trip_counts),
            tool_version=_tool_version(),
            warnings=(*imported.graph.warnings, *stated, *taken),
            values=dict(options.values),
            state=tuple(options.state),
            longest_us=None if request.longest_us is None else float(request.longest_us),
            overrides=None if measured is None else _named(measured),
        )
        if name and not lacking:
            keep_costs(name, read, (costed, origin), config)
        yield costed, origin


def _compile_decoder(request: ModelRequest, config: NpuConfig) -> DecoderEntry:
    from layerweaver.scheduler.compile.iterations import iteration_rows  # noqa: PLC0415
    from layerweaver.scheduler.iterations.costs import iteration_costs  # noqa: PLC0415

    given = {
        "--batch": request.batches != (1,),
        "--shape": request.shapes,
        "--value": request.values,
        "--trip-count": request.trip_counts,
        "--state": request.state,
        "--override": request.overrides,
        "--longest-us": request.longest_us,
    }
    if wrong := [option for option, value in given.items() if value]:
        raise ModelError(
            f"{wrong[0]} does not work with language models",
            where=request.entry,
            accepted="iterations bind batch, seq and past themselves; --dim binds further dimensions",
        )
    rows = iteration_rows(request.source, request.dims)
    iteration_costs(rows, config, tokens=1, sequences=1, cache_bits=16)
    source = ModelSource(request.source)
    origin = Provenance(
        source.file_name, source.sha256, dims=dict(request.dims), tool_version=_tool_version()
    )
    return DecoderEntry(request.entry, replace(rows, name=origin.source), origin)


def compile_models(
    requests: Iterable[ModelRequest | str],
    npu: NpuConfig | str | Path | Mapping[str, Any],
    *,
    groups: Iterable[Sequence[str]] = (),
    progress: Callable[[float, str], None] | None = None,
) -> Profile:
    """Compile models into a schedule profile.

    Args:
        requests: Models with their bindings and batch sizes; text is read as ``[NAME=]MODEL``.
        npu: A shipped NPU's name, the path of a config, a mapping with its keys, or a config.
        groups: Entries (``NAME`` at its smallest batch, or ``NAME@BATCH``) whose static woven schedule is
            precomputed, group by group.
        progress: Told the share done and what is being done.

    Raises:
        ProfileError: If there is no model, two have the same entry name or batch size, or they are too many.
        ModelError: If a model cannot be imported.
        ConfigError: If the NPU config is wrong, or pins more than the weight buffer holds.
    """
    from layerweaver.costmodel import load_npu, npu_document  # noqa: PLC0415 - loads on first use
    from layerweaver.costmodel.dram import check_pinned  # noqa: PLC0415

    if isinstance(requests, str):
        raise ProfileError(f"{requests[:40]!r} is one model", accepted="give a list of them")
    asked = given_list("requests", requests, ProfileError, "give a list of models")
    checked = _checked(parse_request(item) if isinstance(item, str) else item for item in asked)
    config = load_npu(npu)
    total = sum(len(request.batches) for request in checked)
    compiled: list[tuple[ModelProfile, Provenance]] = []
    decoders: list[DecoderEntry] = []

    def tell(text: str) -> None:
        if progress is not None:
            progress((len(compiled) + len(decoders)) / total, text)

    if total > MAX_VARIANTS:
        raise ProfileError(f"{total:,} models times batch sizes", accepted=f"at most {MAX_VARIANTS:,}")
    pinned: dict[str, int] = {}
    rows = 0
    for request in checked:
        if request.iterations:
            tell(request.entry)
            decoders.append(_compile_decoder(request, config))
        else:
            for entry, origin in _compile_one(request, config, pinned, tell):
                rows += entry.table.rows
                if rows > MAX_ROWS:
                    raise ProfileError(
                        f"the models have more than {MAX_ROWS:,} rows together",
                        where=request.source,
                        accepted="give fewer models or batch sizes",
                    )
                compiled.append((entry, origin))
    check_pinned(pinned, config)
    profile = Profile(
        npu=npu_document(config),
        machine=config.machine(),
        entries=tuple(entry for entry, _ in compiled),
        provenance=tuple(origin for _, origin in compiled),
        decoders=tuple(decoders),
    )
    declared = [
        given_list("group", group, ProfileError, _GROUPS)
        for group in given_list("groups", groups, ProfileError, _GROUPS)
    ]
    for name in chain.from_iterable(declared):
        check_given(name, str, ProfileError, _GROUPS)
    if not declared:
        return profile
    from layerweaver.scheduler.compile.groups import weave_group  # noqa: PLC0415 - loads numba

    return replace(profile, weaves=tuple(weave_group(profile, group) for group in declared))
