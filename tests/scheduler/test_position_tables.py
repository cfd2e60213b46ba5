"""How many positions a decoder knows, by the tables that it looks them up in."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from layerweaver.scheduler.compile.position_tables import positions_known
from layerweaver.scheduler.compile.sources import ModelSource

_IDS, _PLACES = "int64[n,s] input_ids", "int64[n,s] position_ids"
_NUMBERS = "<int64 two = {2}, int64 one = {1}>"

_DECODERS = {
    "positions are an input": (
        f"({_IDS}, {_PLACES}) => (float[n,s,8] y)",
        "a = Gather(words, input_ids) p = Gather(places, position_ids) y = Add(a, p)",
        30,
    ),
    "the first rows are for padding": (
        f"({_IDS}, {_PLACES}) => (float[n,s,8] y)",
        "i = Add(two, position_ids) p = Gather(places, i) y = Identity(p)",
        28,
    ),
    "positions are counted by a mask": (
        "(int64[n,s] mask) => (float[n,s,8] y)",
        "c = CumSum(mask, one) m = Mul(c, mask) i = Sub(m, one) p = Gather(places, i) y = Identity(p)",
        31,
    ),
    "padding has a position of its own": (
        f"({_PLACES}, bool[n,s] padded) => (float[n,s,8] y)",
        "i = Where(padded, one, position_ids) p = Gather(places, i) y = Identity(p)",
        30,
    ),
    "positions are counted from the cached tokens on": (
        f"({_IDS}, int64 past, int64 every) => (float[m,8] y)",
        "r = Range(past, every, one) i = Cast<to = 6>(r) p = Gather(places, i) y = Identity(p)",
        30,
    ),
    "distances are sorted into buckets": (
        "(int64 past, int64 every, bool[m] near) => (float[m,8] y)",
        "r = Range(past, every, one) b = Min(r, two) i = Where(near, r, b) p = Gather(places, i) "
        "y = Identity(p)",
        None,
    ),
    "words alone are looked up": (f"({_IDS}) => (float[n,s,8] y)", "y = Gather(words, input_ids)", None),
    "positions choose columns": (
        f"({_PLACES}) => (float[n,s,8] y)",
        "y = Gather<axis = 1>(places, position_ids)",
        None,
    ),
}


@pytest.mark.parametrize("name", _DECODERS)
def test_rows_of_tables(name: str, tmp_path: Path) -> None:
    given, nodes, known = _DECODERS[name]
    text = f'<ir_version: 9, opset_import: ["" : 17]> decoder {given} {_NUMBERS} {{ {nodes} }}'
    decoder = onnx.parser.parse_model(text)
    for table, rows in (("words", 50), ("places", 30)):
        zeros = onnx.helper.make_tensor(table, onnx.TensorProto.FLOAT, (rows, 8), bytes(rows * 32), raw=True)
        decoder.graph.initializer.append(zeros)
    onnx.save(decoder, tmp_path / "decoder.onnx")
    assert positions_known(ModelSource(tmp_path / "decoder.onnx").declared) == known
