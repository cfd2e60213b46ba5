"""Searches: operators of ONNX Runtime that hold a decoder and run it token by token.

The first run reads the prompt (or the encoder's results); all further runs are one loop over the decoder,
whose caches grow by a row per trip or, in shared buffers, stay. Feeds are told by the names that ONNX Runtime
demands, and caches by the order in which it passes them on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from layerweaver.frontend.node.values import Info, UnknownShapeError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.reader.model import OnnxGraph, OnnxNode, ValueInfo
from layerweaver.frontend.resolve.carried import copied, known_scalar
from layerweaver.frontend.resolve.loops import walk_loop
from layerweaver.frontend.resolve.scope import Scope
from layerweaver.frontend.resolve.walk import Walker
from layerweaver.ir.dtypes import DType
from layerweaver.ir.errors import ModelError

__all__ = ["SEARCHES", "walk_search"]

SEARCHES = ("BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch")

_GROWS = {"attention_mask": "Concat", "input_ids": "Concat", "past_sequence_length": "Add"}
"""How feeds that no output of the decoder feeds go on from trip to trip, by an operator and a one."""


def walk_search(
    walker: Walker, node: OnnxNode, inputs: Sequence[Info | None], scope: Scope
) -> Sequence[Info]:
    """Walk the graphs inside of a search as often as they run, then the search itself.

    How many tokens are made depends on data: as many as there is room for, or as a trip count says. Where a
    decoder is not as ONNX Runtime demands, its work is lacking.
    """
    mark = walker.mark()
    try:
        _Search(walker, node, inputs, scope).walk()
    except UnknownShapeError:
        walker.rollback(mark)  # the search's own shape rule misses the same and names the cure
    except (ModelError, LookupError, TypeError, ValueError, ArithmeticError, StopIteration) as error:
        walker.rollback(mark)
        what = str(error) if isinstance(error, ModelError) else "its feeds are not what ONNX Runtime passes"
        walker.doubts.add(node, f"the decoder inside is not counted: {what}", lacking=True)
    walker.step(node, inputs, scope)
    return ()


class _Search:
    def __init__(self, walker: Walker, node: OnnxNode, inputs: Sequence[Info | None], scope: Scope) -> None:
        self.walker, self.node = walker, node
        self.call = Call(node, inputs, 1)
        self.label = node.label or node.op_type
        self.scope = self._inner(scope, "")
        self.batch = self.call.shape(0, least_rank=2)[0]
        self.longest = self.call.integers(1)[0]
        self.beams = self.call.integers(3)[0] if "Beam" in node.op_type else 1
        if min(self.longest, self.beams) < 1:
            raise ModelError(f"{self.longest} tokens of {self.beams} beams")

    def walk(self) -> None:
        decoder = self._graph("decoder")
        if isinstance(self.node.attributes.get("encoder"), OnnxGraph):
            prompt = self.call.shape(10)[1] if self.call.has(10) else 1
            first, fed = self._encode(self._graph("encoder"), decoder, prompt)
        else:
            prompt = self.call.shape(0)[1]
            first, fed = self._read(decoder, prompt)
        walker, room = self.walker, self.longest - prompt
        walker.loops.setdefault(self.label)
        given = next(
            (name for name in (self.node.name, *self.node.outputs) if name in walker.trip_counts), ""
        )
        if given:
            walker.used_trip_counts.add(given)
            room = min(room, walker.trip_counts[given])
        else:
            what = f"how many tokens it makes depends on data: taken as {room}, all there is room for"
            walker.doubts.add(self.node, what, f"give --trip-count {self.label}=N")
        if room > 1:
            first += self._loop(decoder, fed, room - 1)
        walker.kept.update(info.name for info in first)

    def _inner(self, scope: Scope, tag: str) -> Scope:
        prefix = f"{scope.prefix}{tag or self.label}/"
        return Scope(scope, prefix, scope.opsets, {}, repeats=scope.repeats, depth=scope.depth + 1)

    def _graph(self, name: str) -> OnnxGraph:
        """A graph of the node, whose constants, shared by all runs, are entered here."""
        graph = self.node.attributes[name]
        if not isinstance(graph, OnnxGraph):
            raise TypeError
        for constant, tensor in graph.initializers.items():
            self.scope.env[constant] = self.walker.constant(tensor, f"{self.scope.prefix}{name}/{constant}")
        return replace(graph, initializers={})

    def _run(self, graph: OnnxGraph, feeds: Sequence[Info], tag: str) -> list[Info]:
        inner = self._inner(self.scope, tag)
        for value, info in zip(graph.inputs, feeds, strict=True):
            if not info.name:
                self.walker.add(inner.prefix + value.name, info)
            inner.env[value.name] = info
        return self.walker.graph(graph, inner)

    def _read(self, decoder: OnnxGraph, prompt: int) -> tuple[list[Info], list[Info]]:
        """The first run of a decoder without encoder, and what the second is fed."""
        first = self._graph("init_decoder") if "init_decoder" in self.node.attributes else decoder
        rows = self.batch * self.beams
        shared = any(value.name == "past_sequence_length" for value in decoder.inputs)
        past = self.longest if shared else 0

        def fresh(value: ValueInfo, tokens: int, seen: int) -> Info:
            if value.name in ("input_ids", "position_ids"):
                return _data(value, (rows, tokens))
            if value.name == "attention_mask":
                return _data(value, (rows, seen))
            if value.name.startswith("past_") and value.shape and len(value.shape) == 5:
                return _data(value, (2, rows, _fixed(value, 2), past, _fixed(value, 4)))
            return self._extra(value, seen - tokens)

        outputs = self._run(first, [fresh(value, prompt, prompt) for value in first.inputs], "prompt")
        presents = iter(outputs[1:])
        fed = []
        for value in decoder.inputs:
            cache = value.name.startswith("past_") and value.name != "past_sequence_length"
            fed.append(next(presents) if cache else fresh(value, 1, prompt + 1))
        return outputs, fed

    def _encode(self, encoder: OnnxGraph, decoder: OnnxGraph, prompt: int) -> tuple[list[Info], list[Info]]:
        """The encoder's run, which makes the first token, and what the decoder is fed next."""
        feeds = []
        for place, value in enumerate(encoder.inputs):
            if place == 0:
                feeds.append(self.call.info(0))
            elif value.name == "decoder_input_ids":
                feeds.append(_data(value, (self.batch, prompt)))
            else:
                feeds.append(_data(value, (self.batch, self.call.shape(0)[1])))
        outputs = self._run(encoder, feeds, "encoder")
        caches = [
            info for value, info in zip(encoder.outputs, outputs, strict=True) if "present" in value.name
        ]
        by_name = {value.name: info for value, info in zip(encoder.outputs, outputs, strict=True)}
        by_name |= {value.name: info for value, info in zip(encoder.inputs, feeds, strict=True)}
        waiting = iter(caches)
        fed = []
        for value in decoder.inputs:
            if value.name == "input_ids":
                one = value.shape is not None and value.shape[1:] == (1,)
                fed.append(_data(value, (self.batch * self.beams, 1 if one else prompt + 1)))
            elif value.name.startswith("past_") and value.name != "past_sequence_length":
                fed.append(self._spread(next(waiting)))
            elif value.name in by_name:
                fed.append(self._spread(by_name[value.name]))
            else:
                fed.append(self._extra(value, prompt))
        return outputs, fed

    def _spread(self, info: Info) -> Info:
        """What the encoder gives per element of the batch, for every beam."""
        if self.beams == 1 or info.shape is None:
            return info
        wide = copied(info)
        wide.shape, wide.value = (self.batch * self.beams, *info.shape[1:]), None
        self.walker.add(f"{info.name}/beams", wide)
        node = OnnxNode("Expand", "", f"{info.name}/beams", (info.name,), (wide.name,), {})
        self.walker.emit(node, node.inputs, node.outputs, scope=self.scope, opset=13, folded=False)
        return wide

    def _extra(self, value: ValueInfo, past: int) -> Info:
        """Feeds of decoders that share buffers: where the past ends, beams and where each came from."""
        if value.name == "past_sequence_length":
            info = known_scalar(past, value.dtype)
            info.shape, info.value = (1,), None if info.value is None else info.value.reshape(1)
            return info
        shapes = {"beam_width": (1,), "cache_indirection": (self.batch, self.beams, self.longest)}
        return _data(value, shapes[value.name])

    def _loop(self, decoder: OnnxGraph, fed: Sequence[Info], trips: int) -> list[Info]:
        """All further runs; the logits that they put out."""
        presents = [value.name for value in decoder.outputs[1:]]
        whole = fed[0].shape is not None and fed[0].shape[1:] != (1,)
        nodes, carried, leaving, start = list(decoder.nodes), [], [], []
        one, column, newest = f"{self.label}/one", f"{self.label}/column", f"{self.label}/newest"
        rows = _data(ValueInfo(column, DType.INT32, None), (self.batch * self.beams, 1))
        for name, info in ((one, known_scalar(1, DType.INT32)), (newest, known_scalar(-1)), (column, rows)):
            self.scope.env[name] = self.walker.add(name, info)
        for value, info in zip(decoder.inputs, fed, strict=True):
            grows = _GROWS.get(value.name, "") if value.name != "input_ids" or whole else ""
            if grows:
                after = f"{value.name}/next"
                other, how = (column, {"axis": 1}) if grows == "Concat" else (one, {})
                nodes.append(OnnxNode(grows, "", after, (value.name, other), (after,), how))
            elif value.name.startswith("past_") and presents:
                after = presents.pop(0)
            else:
                if not info.name:
                    self.walker.add(f"{self.scope.prefix}{value.name}", info)
                self.scope.env[value.name] = info
                continue
            carried.append(value)
            leaving.append(replace(value, name=after))
            start.append(info)
        counter, go = (ValueInfo(f"{self.label}/{name}", DType.INT64, ()) for name in ("trip", "go"))
        last = replace(decoder.outputs[0], name=f"{self.label}/last", shape=None)
        nodes.append(
            OnnxNode("Gather", "", last.name, (decoder.outputs[0].name, newest), (last.name,), {"axis": 1})
        )
        body = replace(
            decoder,
            nodes=tuple(nodes),
            inputs=(counter, go, *carried),
            outputs=(go, *leaving, last),
        )
        name = f"{self.label}/tokens"
        loop = OnnxNode("Loop", "", name, (), (*("",) * len(carried), name), {"body": body})
        lead = [known_scalar(trips), known_scalar(1, DType.BOOL)]
        outputs = walk_loop(self.walker, loop, [*lead, *start], self.scope)
        self.walker.loops.pop(name, None)
        return list(outputs)


def _data(value: ValueInfo, shape: tuple[int, ...]) -> Info:
    info = Info(value.dtype, shape)
    info.batched = True
    return info


def _fixed(value: ValueInfo, axis: int) -> int:
    extent = value.shape[axis] if value.shape else None
    if not isinstance(extent, int):
        raise ModelError(f"axis {axis} of its {value.name} has no extent")
    return extent
