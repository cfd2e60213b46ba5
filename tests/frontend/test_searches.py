"""Searches run the decoder inside of them once for the prompt and once per token, counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph, ModelError

ImportText = Callable[..., LayerGraph]

MICROSOFT = "com.microsoft"
HEADS, EACH, WIDTH, WORDS = 4, 2, 8, 10

HEADED = f"""heads = Constant<value_ints=[0, 0, {HEADS}, {EACH}]>()
    joined = Constant<value_ints=[0, 0, {WIDTH}]>()"""


def _attended(query: str, keys: str) -> str:
    return f"""q0 = MatMul({query}, w)
    q1 = Reshape(q0, heads)
    q = Transpose<perm=[0, 2, 1, 3]>(q1)
    turned = Transpose<perm=[0, 1, 3, 2]>({keys})
    scores = MatMul(q, turned)
    seen = MatMul(scores, {keys})
    s1 = Transpose<perm=[0, 2, 1, 3]>(seen)
    s2 = Reshape(s1, joined)
    logits = MatMul(s2, out)"""


GENERATING = f"""d (int32[b, s] input_ids, int32[b, s] position_ids, int32[b, t] attention_mask,
    float[2, b, {HEADS}, p, {EACH}] past_0{{extra}})
    => (float[b, s, {WORDS}] logits, float[2, b, {HEADS}, t, {EACH}] present_0) {{{{
    {HEADED}
    e = Gather(table, input_ids)
    k0 = MatMul(e, w)
    k1 = Reshape(k0, heads)
    k2 = Transpose<perm=[0, 2, 1, 3]>(k1)
    first = Constant<value_ints=[0]>()
    k3 = Unsqueeze(k2, first)
    both = Concat<axis=0>(k3, k3)
    present_0 = {{cache}}
    place = Constant<value_int=0>()
    keys = Gather<axis=0>(present_0, place)
    {_attended("e", "keys")}
}}}}"""
APPENDING = GENERATING.format(extra="", cache="Concat<axis=3>(past_0, both)")

ENCODING = f"""n (int32[b, s] encoder_input_ids, int32[b, s] encoder_attention_mask,
    int32[b, l] decoder_input_ids)
    => (float[b, l, {WORDS}] logits, float[b, s, {WIDTH}] encoder_hidden_states,
    float[b, {HEADS}, l, {EACH}] present_key_self_0, float[b, {HEADS}, l, {EACH}] present_value_self_0,
    float[b, {HEADS}, s, {EACH}] present_key_cross_0, float[b, {HEADS}, s, {EACH}] present_value_cross_0) {{
    {HEADED}
    read = Gather(table, encoder_input_ids)
    encoder_hidden_states = MatMul(read, w)
    c1 = Reshape(encoder_hidden_states, heads)
    present_key_cross_0 = Transpose<perm=[0, 2, 1, 3]>(c1)
    present_value_cross_0 = Identity(present_key_cross_0)
    e = Gather(table, decoder_input_ids)
    k1 = Reshape(e, heads)
    present_key_self_0 = Transpose<perm=[0, 2, 1, 3]>(k1)
    present_value_self_0 = Identity(present_key_self_0)
    {_attended("e", "present_key_cross_0")}
}}"""

DECODING = f"""d (int32[b, {{tokens}}] input_ids, int32[b, s] encoder_attention_mask,
    float[b, s, {WIDTH}] encoder_hidden_states,
    float[b, {HEADS}, p, {EACH}] past_key_self_0, float[b, {HEADS}, p, {EACH}] past_value_self_0,
    float[b, {HEADS}, s, {EACH}] past_key_cross_0, float[b, {HEADS}, s, {EACH}] past_value_cross_0)
    => (float[b, l, {WORDS}] logits,
    float[b, {HEADS}, q, {EACH}] present_key_self_0, float[b, {HEADS}, q, {EACH}] present_value_self_0) {{{{
    {HEADED}
    e = Gather(table, input_ids)
    k1 = Reshape(e, heads)
    k2 = Transpose<perm=[0, 2, 1, 3]>(k1)
    present_key_self_0 = Concat<axis=2>(past_key_self_0, k2)
    present_value_self_0 = Concat<axis=2>(past_value_self_0, k2)
    all = Concat<axis=2>(present_key_self_0, past_key_cross_0)
    {_attended("e", "all")}
}}}}"""


def _model(call: str, longest: str, more: str = "") -> str:
    def ones(count: int) -> str:
        return ", ".join("1" * count)

    return f"""g (int32[2, 3] x{more}) => (int32[] y) <int32[1] beams = {{4}}, int32[1] two = {{2}}, {longest}
    float[{WORDS}, {WIDTH}] table = {{{ones(WORDS * WIDTH)}}},
    float[{WIDTH}, {WIDTH}] w = {{{ones(WIDTH**2)}}},
    float[{WIDTH}, {WORDS}] out = {{{ones(WORDS * WIDTH)}}}> {{ y = {MICROSOFT}.{call} }}"""


def _search(name: str, graphs: str) -> str:
    arguments = "x, longest, , beams, two" if "Beam" in name else "x, longest"
    return f"{name}<eos_token_id=1, pad_token_id=0, vocab_size={WORDS}, {graphs}>({arguments})"


def _generated(rows: int, longest: int) -> int:
    """The prompt of three tokens, then one by one."""
    runs = [(0, 3), *((past, 1) for past in range(3, longest - 1))]
    attention = sum(2 * HEADS * EACH * new * (past + new) for past, new in runs)
    tokens = sum(new for _, new in runs)
    return rows * (attention + tokens * (2 * WIDTH * WIDTH + WIDTH * WORDS))


@pytest.mark.parametrize("longest", [4, 5, 7, 20, 500])
@pytest.mark.parametrize(("name", "rows"), [("BeamSearch", 8), ("GreedySearch", 2), ("Sampling", 2)])
def test_a_decoder_alone(name: str, rows: int, longest: int, import_text: ImportText) -> None:
    call = _search(name, f"decoder = {APPENDING}")
    graph = import_text(_model(call, f"int32[1] longest = {{{longest}}},"), opset=17, domain=MICROSOFT)
    assert graph.macs == _generated(rows, longest)
    assert graph.complete
    assert graph.parameters == WORDS * WIDTH * 2 + WIDTH**2  # one copy for all runs
    assert graph.warnings[0].endswith("give --trip-count y=N")


def test_tokens_can_be_stated(import_text: ImportText) -> None:
    text = _model(_search("GreedySearch", f"decoder = {APPENDING}"), "int32[1] longest = {500},")
    graph = import_text(text, opset=17, domain=MICROSOFT, trip_counts={"y": 17})
    assert graph.macs == _generated(2, 20)
    assert graph.warnings == ()
    with pytest.raises(ModelError, match=r"its loops: y$"):
        import_text(text, opset=17, domain=MICROSOFT, trip_counts={"z": 17})


def test_a_length_that_the_user_gives(import_text: ImportText) -> None:
    text = _model(_search("GreedySearch", f"decoder = {APPENDING}"), "", more=", int32[1] longest")
    graph = import_text(text, opset=17, domain=MICROSOFT)
    assert not graph.complete
    assert graph.lacking[0].endswith("give --value longest=N")
    assert import_text(text, opset=17, domain=MICROSOFT, values={"longest": (20,)}).macs == _generated(2, 20)


def test_a_first_decoder_of_its_own(import_text: ImportText) -> None:
    call = _search("GreedySearch", f"init_decoder = {APPENDING}, decoder = {APPENDING}")
    graph = import_text(_model(call, "int32[1] longest = {20},"), opset=17, domain=MICROSOFT)
    assert graph.macs == _generated(2, 20)


def test_shared_buffers_are_read_whole(import_text: ImportText) -> None:
    shared = GENERATING.format(extra=", int32[1] past_sequence_length", cache="Identity(past_0)")
    call = _search("GreedySearch", f"decoder = {shared}")
    graph = import_text(_model(call, "int32[1] longest = {20},"), opset=17, domain=MICROSOFT)
    tokens = 3 + 16
    assert graph.macs == 2 * tokens * (WIDTH * WIDTH + WIDTH * WORDS + 2 * HEADS * EACH * 20)


def _decoded(rows: int, longest: int, *, whole: bool) -> int:
    first = 2 * (3 * WIDTH * WIDTH + WIDTH * WIDTH + 2 * HEADS * EACH * 3 + WIDTH * WORDS)
    past, total = 1, 0
    for length in range(2, longest):
        new = length if whole else 1
        total += new * (WIDTH * WIDTH + 2 * HEADS * EACH * (past + new + 3) + WIDTH * WORDS)
        past += new
    return first + rows * total


@pytest.mark.parametrize("longest", [3, 6, 40])
@pytest.mark.parametrize("whole", [False, True])
def test_an_encoder_runs_once_and_makes_the_first_token(
    longest: int, whole: bool, import_text: ImportText
) -> None:
    decoder = DECODING.format(tokens="l" if whole else 1)
    call = _search("BeamSearch", f"model_type=1, encoder = {ENCODING}, decoder = {decoder}")
    graph = import_text(_model(call, f"int32[1] longest = {{{longest}}},"), opset=17, domain=MICROSOFT)
    assert graph.macs == _decoded(8, longest, whole=whole)
    assert graph.complete


def test_a_decoder_of_another_form_is_said_to_be_lacking(import_text: ImportText) -> None:
    decoder = "d (int32[b, s] ids) => (float[b, s, 10] logits) { logits = Gather(table, ids) }"
    text = _model(_search("GreedySearch", f"decoder = {decoder}"), "int32[1] longest = {20},")
    graph = import_text(text, opset=17, domain=MICROSOFT)
    assert not graph.complete
    assert "the decoder inside is not counted" in graph.lacking[0]
    with pytest.raises(ModelError, match="the decoder inside is not counted"):
        import_text(text, opset=17, domain=MICROSOFT, strict=True)


def test_more_caches_than_the_decoder_gives_back_are_lacking(import_text: ImportText) -> None:
    more = GENERATING.format(
        extra=f", float[2, b, {HEADS}, p, {EACH}] past_1", cache="Concat<axis=3>(past_0, both)"
    )
    text = _model(_search("GreedySearch", f"decoder = {more}"), "int32[1] longest = {20},")
    assert "the decoder inside is not counted" in import_text(text, opset=17, domain=MICROSOFT).lacking[0]


@pytest.mark.parametrize(("longest", "extra"), [(-5, ""), (0, ""), (-5, ", int32[1] past_sequence_length")])
def test_impossible_lengths_are_lacking_or_refused(longest: int, extra: str, import_text: ImportText) -> None:
    decoder = GENERATING.format(extra=extra, cache="Concat<axis=3>(past_0, both)")
    text = _model(_search("GreedySearch", f"decoder = {decoder}"), f"int32[1] longest = {{{longest}}},")
    try:
        graph = import_text(text, opset=17, domain=MICROSOFT)
    except ModelError:
        return
    assert not graph.complete
