"""Which dimensions of a decoder's inputs count new tokens, cached ones, or both, whatever they are called.

New tokens are what the token ids (or their embeddings) are counted in, cached ones what the inputs of four or
more axes grow with; whatever is left, such as the length of a mask, counts both. A switch between a graph
with and one without a cache is set to the cache.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.model import OnnxModel, ValueInfo
from layerweaver.frontend.resolve.expressions import parse_dim
from layerweaver.ir import DType, ModelError

__all__ = ["NEEDED", "DecoderInputs", "NoDecoderError", "decoder_inputs"]

NEEDED = "a decoder with dimensions batch, seq and past whose cache is an input and an output"

_BATCH = re.compile(r"batch|^(n|b|bs|bsz)$", re.IGNORECASE)
_SWITCH = re.compile(r"cache|past", re.IGNORECASE)
_BESIDE = re.compile(r"mask|bias|position", re.IGNORECASE)
_OWN = ("batch", "seq", "past")
_CACHE_AXES = 3
"""A cache has at least so many axes: the batch, heads or channels, and tokens."""


class NoDecoderError(ModelError):
    """A model whose inputs or layers are not those of a decoder with a cache."""


@dataclass(frozen=True, slots=True)
class DecoderInputs:
    """What the inputs of a decoder are bound to.

    Attributes:
        dims: Further symbolic dimensions.
        new: Dimensions that are the new tokens of a sequence.
        cached: Dimensions that are its cached ones.
        both: Dimensions that are all of them.
        switches: Inputs that choose the branch with a cache.
    """

    dims: Mapping[str, int]
    new: tuple[str, ...]
    cached: tuple[str, ...]
    both: tuple[str, ...]
    switches: tuple[str, ...]

    def bound(self, batch: int, seq: int, past: int) -> ImportOptions:
        """How to import the decoder for so many sequences, each of so many new and cached tokens."""
        sizes = {**dict.fromkeys(self.new, seq), **dict.fromkeys(self.cached, past)}
        sizes |= dict.fromkeys(self.both, seq + past)
        values = dict.fromkeys(self.switches, (1.0,))
        return ImportOptions(dims={**self.dims, **sizes}, values=values, batch=batch)


def decoder_inputs(model: OnnxModel, dims: Mapping[str, int]) -> DecoderInputs:
    """Find out what a decoder's dimensions count.

    Args:
        model: The decoder.
        dims: Dimensions that are bound already.

    Raises:
        ModelError: If nothing counts new tokens, or nothing cached ones, or if such a dimension is bound.
    """
    inputs = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    tokens = [value for value in inputs if value.shape is not None and _counts_tokens(value)]
    caches = [value for value in inputs if value not in tokens and _is_cache(value)]
    for name in dims:
        if name in _OWN or any(name in _counted(value) for value in inputs if value not in caches):
            raise ModelError(
                f"dimension {name!r} is bound",
                where=model.source,
                accepted="leave batch, seq and past to iterations",
            )
    settled = {*dims, *_batches(tokens)}
    new = dict.fromkeys(name for value in tokens for name in _names(value, settled))
    cached = dict.fromkeys(
        name for value in caches for name in _names(value, settled) if name not in new and "total" not in name
    )
    every = dict.fromkeys(name for value in inputs for name in _names(value, settled))
    if "seq" in every:
        new = {"seq": None}
    if "past" in every:
        cached = {"past": None}
    for found, name, what, fixed in ((new, "seq", "new", tokens), (cached, "past", "cached", caches)):
        if not found:
            raise NoDecoderError(
                _fixed(fixed, dims)
                + f"no input has a dimension named {name}, or another that counts {what} tokens",
                where=model.source,
                accepted=NEEDED,
            )
    both = tuple(name for name in every if name not in new and name not in cached)
    switches = tuple(
        value.name
        for value in inputs
        if value.dtype == DType.BOOL and value.shape in ((), (1,)) and _SWITCH.search(value.name)
    )
    return DecoderInputs(dims, tuple(new), tuple(cached), both, switches)


def _fixed(inputs: list[ValueInfo], dims: Mapping[str, int]) -> str:
    """Says that what should grow does not."""
    if not inputs:
        return ""
    bound = {dim: f"{dim}={size}" for dim, size in dims.items()}
    shape = [bound.get(str(dim), str(dim)) for dim in inputs[0].shape or ()]
    return f"{inputs[0].name} has a fixed length ({' x '.join(shape)}); "


def _is_cache(value: ValueInfo) -> bool:
    return len(value.shape or ()) >= _CACHE_AXES and not _BESIDE.search(value.name)


def _counts_tokens(value: ValueInfo) -> bool:
    """Whether an input is token ids, (batch, tokens), or their embeddings, (batch, tokens, width)."""
    shape, name = value.shape or (), value.name.lower()
    if len(shape) == _CACHE_AXES:
        return "embed" in name
    return len(shape) == _CACHE_AXES - 1 and value.dtype in (DType.INT64, DType.INT32) and "mask" not in name


def _counted(value: ValueInfo) -> Iterator[str]:
    """Dimensions of token ids, positions and masks over tokens, which all are the batch or count tokens."""
    if len(value.shape or ()) < _CACHE_AXES and (_counts_tokens(value) or _BESIDE.search(value.name)):
        for dim in value.shape or ():
            for name in parse_dim(dim).names if isinstance(dim, str) else ():
                if "encoder" not in name:
                    yield name


def _batches(tokens: Iterable[ValueInfo]) -> Iterator[str]:
    """First axes of tokens, which are the batch however an exporter calls them."""
    for value in tokens:
        first, *others = value.shape or (None,)
        if isinstance(first, str) and first not in (*_OWN, *others):
            yield first


def _names(value: ValueInfo, settled: Container[str]) -> Iterator[str]:
    """Open dimensions of an input besides its batch, and besides what an encoder says."""
    for dim in value.shape or ():
        for name in parse_dim(dim).names if isinstance(dim, str) else ():
            if name not in settled and not _BATCH.search(name) and "encoder" not in name:
                yield name
