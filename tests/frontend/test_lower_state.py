"""State that feeds back: KV caches and recurrent state as DRAM traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import LayerGraph, ModelError

Import = Callable[..., LayerGraph]

CACHE = """g (float[1,2,1,4] q, float[1,2,1,4] knew, float[1,2,7,4] OLD)
        => (float[1,2,1,8] y, float[1,2,8,4] NEW) {
    k = Relu(knew)
    NEW = Concat<axis=2>(OLD, k)
    t = Transpose<perm=[0,1,3,2]>(NEW)
    y = MatMul(q, t)
}"""


def _reads(graph: LayerGraph) -> int:
    return sum(tensor.elements for layer in graph for tensor in layer.state_reads)


def _writes(graph: LayerGraph) -> int:
    return sum(tensor.elements for layer in graph for tensor in layer.state_writes)


@pytest.mark.parametrize(
    ("past", "present"),
    [
        ("past_key_values.0.key", "present.0.key"),
        ("past_key_0", "present_key_0"),
        ("past_0", "present_0"),
        ("cache_in", "cache_out"),
        ("past_key_3", "cat_17"),
        ("encoder_kv_cache", "new_encoder_kv_cache"),
    ],
)
@pytest.mark.parametrize("fuse", [True, False])
def test_a_cache_is_read_whole_and_grows_in_place(
    import_text: Import, past: str, present: str, fuse: bool
) -> None:
    graph = import_text(CACHE, fuse=fuse, rename={"OLD": past, "NEW": present})
    assert (_reads(graph), _writes(graph)) == (2 * 7 * 4, 2 * 4)
    assert past not in {tensor.name for tensor in graph.inputs}
    assert present not in {tensor.name for tensor in graph.outputs}
    if fuse:
        attention = next(layer for layer in graph if layer.matrix)
        assert [tensor.name for tensor in attention.state_reads] == [past]


RECURRENT = """g (float[5,1,4] x, float[1,1,3] {h}, float[1,1,3] {c})
        => (float[5,1,1,3] y, float[1,1,3] {hn}, float[1,1,3] {cn})
<float[1,12,4] w, float[1,12,3] r> {{
    y, {hn}, {cn} = LSTM<hidden_size=3>(x, w, r, "", "", {h}, {c})
}}"""


@pytest.mark.parametrize(
    "names",
    [
        ("h", "c", "hn", "cn"),
        ("h0", "c0", "hn", "cn"),
        ("h_in", "c_in", "h_out", "c_out"),
        ("hidden_state", "cell_state", "hidden_state_out", "cell_state_out"),
    ],
)
def test_recurrent_state_is_found_by_name(import_text: Import, names: tuple[str, str, str, str]) -> None:
    graph = import_text(RECURRENT.format(h=names[0], c=names[1], hn=names[2], cn=names[3]))
    assert (_reads(graph), _writes(graph)) == (6, 6)
    assert [tensor.name for tensor in graph.inputs] == ["x"]


def test_state_can_be_given(import_text: Import) -> None:
    text = RECURRENT.format(h="alpha", c="beta", hn="gamma", cn="delta")
    assert _reads(import_text(text)) == 0
    graph = import_text(text, state=[("alpha", "gamma"), ("beta", "delta")])
    assert (_reads(graph), _writes(graph)) == (6, 6)


def test_a_state_with_two_outputs_is_refused(import_text: Import) -> None:
    text = RECURRENT.format(h="alpha", c="beta", hn="gamma", cn="delta")
    with pytest.raises(ModelError, match="state 'alpha' is fed by two outputs"):
        import_text(text, state=[("alpha", "gamma"), ("alpha", "delta")])


@pytest.mark.parametrize("pair", [("alfa", "gamma"), ("alpha", "gama")])
def test_wrong_names_are_refused(import_text: Import, pair: tuple[str, str]) -> None:
    text = RECURRENT.format(h="alpha", c="beta", hn="gamma", cn="delta")
    with pytest.raises(ModelError, match=r"one of .*(alpha|gamma)"):
        import_text(text, state=[pair])


def test_features_are_no_state(import_text: Import) -> None:
    graph = import_text(
        "g (float[1,4,8] hidden_state) => (float[1,4,8] last_hidden_state) "
        "{ last_hidden_state = Relu(hidden_state) }"
    )
    assert _reads(graph) == 0


@pytest.mark.parametrize("begin", [-2, 4])
def test_a_window_that_moves_on_is_state(import_text: Import, begin: int) -> None:
    graph = import_text(
        f"""g (float[1, 8, 4] x, float[1, 8, 2] a) => (float[1, 5, 4] y, float[1, 8, 2] b)
        <float[5, 8, 3] w, int64[1] begin = {{{begin}}}, int64[1] end = {{99}}, int64[1] axis = {{2}}> {{
            joined = Concat<axis=2>(a, x)
            y = Conv(joined, w)
            b = Slice(joined, begin, end, axis)
        }}"""
    )
    assert [each.name for each in graph.inputs] == ["x"]
    assert [each.name for each in graph.outputs] == ["y"]
    assert _reads(graph) == _writes(graph) == 2 * 8


def test_a_part_of_another_shape_is_no_state(import_text: Import) -> None:
    graph = import_text(
        """g (float[1, 8, 4] x, float[1, 8, 2] a) => (float[1, 5, 4] y, float[1, 8, 3] b)
        <float[5, 8, 3] w, int64[1] begin = {3}, int64[1] end = {99}, int64[1] axis = {2}> {
            joined = Concat<axis=2>(a, x)
            y = Conv(joined, w)
            b = Slice(joined, begin, end, axis)
        }"""
    )
    assert [each.name for each in graph.inputs] == ["x", "a"]


def test_images_are_no_state(import_text: Import) -> None:
    graph = import_text(
        "g (float[1,3,8,8] image_in) => (float[1,3,8,8] image_out) { image_out = Relu(image_in) }"
    )
    assert _reads(graph) == 0
    assert [tensor.name for tensor in graph.inputs] == ["image_in"]


@pytest.mark.parametrize("fuse", [True, False])
def test_gpt2_reads_its_whole_cache_and_writes_one_row(onnx_folder: Path, fuse: bool) -> None:
    graph = import_model(onnx_folder / "gpt2_decode.dynamo.onnx", ImportOptions(fuse=fuse))
    cached = 12 * 2 * 12 * 127 * 64 * 4
    assert sum(tensor.nbytes() for layer in graph for tensor in layer.state_reads) == cached
    assert sum(tensor.nbytes() for layer in graph for tensor in layer.state_writes) == cached // 127
    if fuse:
        readers = [layer.role for layer in graph if layer.state_reads]
        assert readers == ["attention-scores", "attention-context"] * 12


OPERATORS = {
    "grouped queries, a growing cache": (
        """g (float[2,1,32] q, float[2,1,16] k, float[2,1,16] v, float[2,2,7,8] a, float[2,2,7,8] b,
           int32[2] s, int32 t) => (float[2,1,32] y, float[2,2,8,8] c, float[2,2,8,8] d) {
            y, c, d = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=2>(q, k, v, a, b, s, t)
        }""",
        2 * 2 * 2 * 7 * 8,
        2 * 2 * 2 * 8,
    ),
    "keys and values in one tensor": (
        """g (float[1,1,8] x, float[2,1,2,7,4] a) => (float[1,1,8] y, float[2,1,2,8,4] b)
        <float[8,24] w, float[24] c> { y, b = com.microsoft.Attention<num_heads=2>(x, w, c, "", a) }""",
        2 * 2 * 7 * 4,
        2 * 2 * 4,
    ),
    "attention of the standard": (
        """g (float[1,2,1,4] q, float[1,2,1,4] k, float[1,2,1,4] v, float[1,2,7,4] a, float[1,2,7,4] b)
        => (float[1,2,1,4] y, float[1,2,8,4] c, float[1,2,8,4] d)
        { y, c, d = Attention(q, k, v, "", a, b) }""",
        2 * 2 * 7 * 4,
        2 * 2 * 4,
    ),
    "a cache of fixed size, scattered into": (
        """g (float[1,2,1,4] q, float[1,2,1,4] k, float[1,2,16,4] a)
        => (float[1,2,1,16] y, float[1,2,16,4] b) {
            b = TensorScatter<axis=2>(a, k)
            t = Transpose<perm=[0,1,3,2]>(b)
            y = MatMul(q, t)
        }""",
        2 * 16 * 4,
        2 * 4,
    ),
}


@pytest.mark.parametrize("case", OPERATORS)
@pytest.mark.parametrize("fuse", [True, False])
def test_stateful_operators_name_their_own_state(import_text: Import, case: str, fuse: bool) -> None:
    text, read, written = OPERATORS[case]
    graph = import_text(text, opset=24, domain="com.microsoft", fuse=fuse)
    assert (_reads(graph), _writes(graph)) == (read, written)
    assert [tensor.name for tensor in graph.outputs] == ["y"]


def test_of_a_packed_state_every_part_is_read_once(import_text: Import) -> None:
    graph = import_text(
        """g (float[5,1,4] x, float[2,1,1,3] state) => (float[5,1,1,3] y, float[2,1,1,3] stateN)
        <float[1,12,4] w, float[1,12,3] r, int64 zero = {0}, int64 one = {1}, int64[1] first = {0}> {
            h = Gather(state, zero)
            c = Gather(state, one)
            y, hn, cn = LSTM<hidden_size=3>(x, w, r, "", "", h, c)
            hu = Unsqueeze(hn, first)
            cu = Unsqueeze(cn, first)
            stateN = Concat<axis=0>(hu, cu)
        }"""
    )
    assert (_reads(graph), _writes(graph)) == (6, 6)
    (layer,) = [layer for layer in graph if layer.state_reads]
    assert layer.operators[:3] == ("LSTM", "Gather", "Gather")


def test_two_states_of_one_output_are_refused(import_text: Callable[..., LayerGraph]) -> None:
    with pytest.raises(ModelError, match="states 'a' and 'b' are both fed by output 'c'"):
        import_text(
            "g (float[2] a, float[2] b) => (float[2] c) { c = Add(a, b) }", state=[("a", "c"), ("b", "c")]
        )


STACK = """g (float[1,1,4] x, float[2,2,1,6,4] OLD) => (float[1,1,4] y1, float[2,2,1,7,4] NEW)
<float[4,4] w, int64[1] first = {0}> {
    {LAYERS}
    NEW = Concat<axis=0>(s0, s1)
}"""

LAYER = """
    part{n} = {PART}
    k{n}, v{n} = Split<axis=0, num_outputs=2>(part{n})
    kp{n} = Squeeze(k{n}, first)
    vp{n} = Squeeze(v{n}, first)
    rows{n} = MatMul({x}, w)
    keys{n} = Concat<axis=1>(kp{n}, rows{n})
    values{n} = Concat<axis=1>(vp{n}, rows{n})
    turned{n} = Transpose<perm=[0,2,1]>(keys{n})
    scores{n} = MatMul({x}, turned{n})
    shares{n} = Softmax(scores{n})
    y{n} = MatMul(shares{n}, values{n})
    ku{n} = Unsqueeze(keys{n}, first)
    vu{n} = Unsqueeze(values{n}, first)
    kv{n} = Concat<axis=0>(ku{n}, vu{n})
    s{n} = Unsqueeze(kv{n}, first)"""


@pytest.mark.parametrize("names", [("past", "present"), ("foo", "bar")])
@pytest.mark.parametrize("stated", [True, False])
def test_of_stacked_caches_the_new_rows_are_written(
    import_text: Import, names: tuple[str, str], stated: bool
) -> None:
    part = "Gather<axis=0>(OLD, n{n})"
    constants = "int64 n0 = {0}, int64 n1 = {1}, int64[1] first"
    layers = "".join(
        LAYER.replace("{PART}", part).replace("{n}", str(number)).replace("{x}", source)
        for number, source in ((0, "x"), (1, "y0"))
    )
    text = STACK.replace("{LAYERS}", layers).replace("int64[1] first", constants)
    past, present = names
    given: dict[str, Any] = {"state": [names]} if stated else {}
    graph = import_text(text, rename={"OLD": past, "NEW": present}, **given)
    assert (_reads(graph), _writes(graph)) == (2 * 2 * 6 * 4, 2 * 2 * 4)
    assert [tensor.name for tensor in graph.inputs] == ["x"]


def test_a_longer_copy_that_nothing_attends_to_is_no_state(import_text: Import) -> None:
    graph = import_text(
        """g (float[1,3,8,8] image, float[1,3,1,8] line) => (float[1,3,9,8] y) {
            y = Concat<axis=2>(image, line)
        }"""
    )
    assert _reads(graph) == 0
