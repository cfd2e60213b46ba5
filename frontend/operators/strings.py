"""Work on strings, by the number of elements."""

from __future__ import annotations

from layerweaver.frontend.node.registry import operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, broadcast_inputs, vector_step
from layerweaver.ir import DType


def _string_concat_shape(call: Call) -> tuple[Info]:
    return (Info(DType.STRING, broadcast_inputs(call)),)


def _string_normalizer_shape(call: Call) -> tuple[Info]:
    dropped = bool(call.attributes.get("stopwords"))
    if dropped:
        call.note("how many words are left depends on data: taken as all")
    return (Info(DType.STRING, call.shape(0), upper=dropped),)


def _string_split_shape(call: Call) -> tuple[Info, Info]:
    shape, most = call.shape(0), call.integer("maxsplit", -1)
    parts = most + 1 if most >= 0 else 1
    call.note(f"how many parts there are depends on data: taken as {parts}")
    return Info(DType.STRING, (*shape, parts), upper=True), Info(DType.INT64, shape)


def _regex_full_match_shape(call: Call) -> tuple[Info]:
    return (Info(DType.BOOL, call.shape(0)),)


def _tf_idf_vectorizer_shape(call: Call) -> tuple[Info]:
    shape, places = call.shape(0), call.integer_list("ngram_indexes") or [0]
    if len(shape) not in (1, 2):
        raise ShapeConflictError(f"an input of {text(shape)} is neither one nor many texts")
    return (Info(DType.FLOAT32, (*shape[:-1], max(places) + 1)),)


@operator("StringConcat", shape=_string_concat_shape, category=ELEMENTWISE)
@operator("StringNormalizer", shape=_string_normalizer_shape, category=ELEMENTWISE)
@operator("StringSplit", shape=_string_split_shape, category=ELEMENTWISE)
@operator("RegexFullMatch", shape=_regex_full_match_shape, category=ELEMENTWISE)
@operator("TfIdfVectorizer", shape=_tf_idf_vectorizer_shape, category=ELEMENTWISE)
def string_work(call: Call) -> Step:
    """Work on strings, by the number of elements."""
    elements = max(call.output_elements(), call.elements(0))
    return vector_step(call, ELEMENTWISE, elements, parameters=())
