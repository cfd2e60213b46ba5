"""The domain ai.onnx.ml: classical models, costed as vector work over their features."""

from __future__ import annotations

import math

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import ML, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import Lowered, Step, View
from layerweaver.frontend.operators.elementwise import (
    ELEMENTWISE,
    TRANSCENDENTAL,
    broadcast_inputs,
    vector_step,
)
from layerweaver.ir.dtypes import DType


def _length(operation: Operation, *names: str) -> int:
    lengths = [0]
    for name in names:
        value = operation.node.attributes.get(name)
        shape = getattr(value, "shape", None)
        if isinstance(value, tuple):
            lengths.append(len(value))
        elif isinstance(shape, tuple):
            lengths.append(math.prod(shape))
    return max(lengths)


@lowers("Binarizer", "CastMap", "CategoryMapper", "DictVectorizer", domain=ML, category=ELEMENTWISE)
@lowers("FeatureVectorizer", "Imputer", "LabelEncoder", "Normalizer", domain=ML, category=ELEMENTWISE)
@lowers("OneHotEncoder", "Scaler", domain=ML, category=ELEMENTWISE)
def preprocess(operation: Operation) -> Step:
    """One pass over the larger of input and output."""
    elements = max(operation.output_elements(), operation.elements(0))
    return vector_step(operation, ELEMENTWISE, elements)


@lowers("LinearClassifier", "LinearRegressor", domain=ML, category=ELEMENTWISE)
def linear(operation: Operation) -> Step:
    """One pass over the coefficients per sample."""
    shape = operation.shape(0, least_rank=1)
    samples = shape[0] if len(shape) > 1 else 1
    coefficients = max(1, _length(operation, "coefficients"))
    return vector_step(operation, ELEMENTWISE, samples * coefficients)


@lowers("SVMClassifier", "SVMRegressor", domain=ML, category=TRANSCENDENTAL)
def support_vectors(operation: Operation) -> Step:
    """One pass over all support vectors per sample."""
    shape = operation.shape(0, least_rank=1)
    samples = shape[0] if len(shape) > 1 else 1
    vectors = max(1, _length(operation, "support_vectors", "coefficients"))
    return vector_step(operation, TRANSCENDENTAL, samples * vectors)


@lowers("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", domain=ML, category=ELEMENTWISE)
def trees(operation: Operation) -> Step:
    """One comparison per level: per sample and tree the depth of a balanced tree."""
    shape = operation.shape(0, least_rank=1)
    samples = shape[0] if len(shape) > 1 else 1
    identifiers = operation.integers("nodes_treeids", ())
    count = len(set(identifiers)) or max(1, _length(operation, "tree_roots"))
    nodes = max(1, _length(operation, "nodes_treeids", "nodes_featureids"))
    depth = max(1, math.ceil(math.log2(max(2, nodes / count))))
    return vector_step(operation, ELEMENTWISE, samples * count, window=depth)


@lowers("ZipMap", domain=ML, treatment="view")
def zip_map(_operation: Operation) -> Lowered:
    """Names for columns: nothing moves."""
    return View(0)


@lowers("Adam", "Adagrad", "Momentum", "Gradient", domain="ai.onnx.preview.training", category=ELEMENTWISE)
def optimizer(operation: Operation) -> Step:
    """A few passes over every updated tensor."""
    elements = sum(operation.output_elements(index) for index in range(len(operation.node.outputs)))
    return vector_step(operation, ELEMENTWISE, elements, window=4)


def _length_shape(call: Call, *names: str) -> int:
    for name in names:
        found = call.attributes.get(name)
        if isinstance(found, tuple) and found:
            return len(found)
    return 0


def _rows(call: Call) -> int:
    shape = call.shape(0)
    return shape[0] if len(shape) > 1 else 1


def _labels(call: Call, *strings: str) -> DType:
    return DType.STRING if any(call.attributes.get(name) for name in strings) else DType.INT64


@rule("Binarizer", "Imputer", domain=ML)
def _same(call: Call) -> tuple[Info]:
    return call.like(0)


@rule("Normalizer", "Scaler", domain=ML)
def _real(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, call.shape(0)),)


@rule("ArrayFeatureExtractor", domain=ML, roots_from=(0,))
def _array_feature_extractor(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    head = shape[:-1] if len(shape) > 1 else (1,)
    return (Info(call.dtype(0), (*head, call.elements(1))),)


@rule("CastMap", domain=ML)
def _cast_map(call: Call) -> tuple[Info]:
    codes = {"TO_FLOAT": DType.FLOAT32, "TO_STRING": DType.STRING, "TO_INT64": DType.INT64}
    width = call.integer("max_map", 1) if call.text("map_form", "DENSE") == "SPARSE" else 1
    return (Info(codes.get(call.text("cast_to", "TO_FLOAT"), DType.FLOAT32), (1, max(width, 1))),)


@rule("CategoryMapper", domain=ML)
def _category_mapper(call: Call) -> tuple[Info]:
    dtype = DType.INT64 if call.dtype(0) is DType.STRING else DType.STRING
    return (Info(dtype, call.shape(0)),)


@rule("DictVectorizer", domain=ML)
def _dict_vectorizer(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), (1, _length_shape(call, "string_vocabulary", "int64_vocabulary"))),)


@rule("FeatureVectorizer", domain=ML)
def _feature_vectorizer(call: Call) -> tuple[Info]:
    widths = call.integer_list("inputdimensions") or [
        call.shape(index)[-1] for index in range(len(call.inputs))
    ]
    return (Info(DType.FLOAT32, (_rows(call), sum(widths))),)


@rule("LabelEncoder", domain=ML)
def _label_encoder(call: Call) -> tuple[Info]:
    dtype = call.dtype(0)
    for name, candidate in (
        ("values_strings", DType.STRING),
        ("values_int64s", DType.INT64),
        ("values_floats", DType.FLOAT32),
    ):
        if name in call.attributes:
            dtype = candidate
    values = call.tensor("values_tensor")
    if values is not None:
        dtype = values.dtype
    if "classes_strings" in call.attributes:
        dtype = DType.INT64 if dtype is DType.STRING else DType.STRING
    return (Info(dtype, call.shape(0)),)


@rule("LinearClassifier", domain=ML, foldable=False)
def _linear_classifier(call: Call) -> tuple[Info, Info]:
    classes = max(
        _length_shape(call, "classlabels_strings", "classlabels_ints"), _length_shape(call, "intercepts"), 1
    )
    rows = _rows(call)
    return Info(_labels(call, "classlabels_strings"), (rows,)), Info(DType.FLOAT32, (rows, classes))


@rule("LinearRegressor", domain=ML, foldable=False)
def _linear_regressor(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (_rows(call), call.integer("targets", 1))),)


@rule("OneHotEncoder", domain=ML)
def _one_hot_encoder(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (*call.shape(0), _length_shape(call, "cats_int64s", "cats_strings"))),)


@rule("SVMClassifier", domain=ML, foldable=False)
def _svm_classifier(call: Call) -> tuple[Info, Info]:
    classes = max(_length_shape(call, "classlabels_strings", "classlabels_ints"), 1)
    rows = _rows(call)
    pairs = call.attributes.get("prob_a") or call.attributes.get("prob_b")
    width = classes if pairs or classes <= 2 else classes * (classes - 1) // 2
    return Info(_labels(call, "classlabels_strings"), (rows,)), Info(DType.FLOAT32, (rows, width))


@rule("SVMRegressor", domain=ML, foldable=False)
def _svm_regressor(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (_rows(call), 1)),)


@rule("TreeEnsemble", domain=ML)
def _tree_ensemble(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), (_rows(call), call.integer("n_targets", 1))),)


@rule("TreeEnsembleRegressor", domain=ML)
def _tree_ensemble_regressor(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (_rows(call), call.integer("n_targets", 1))),)


@rule("TreeEnsembleClassifier", domain=ML)
def _tree_ensemble_classifier(call: Call) -> tuple[Info, Info]:
    classes = max(_length_shape(call, "classlabels_strings", "classlabels_int64s"), 1)
    rows = _rows(call)
    return Info(_labels(call, "classlabels_strings"), (rows,)), Info(DType.FLOAT32, (rows, classes))


@rule("ZipMap", domain=ML)
def _zip_map(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), call.shape(0)),)


@rule("StringNormalizer")
def _string_normalizer(call: Call) -> tuple[Info]:
    dropped = bool(call.attributes.get("stopwords"))
    if dropped:
        call.note("how many words are left depends on data: taken as all")
    return (Info(DType.STRING, call.shape(0), upper=dropped),)


@rule("StringConcat")
def _string_concat(call: Call) -> tuple[Info]:
    return (Info(DType.STRING, broadcast_inputs(call)),)


@rule("StringSplit")
def _string_split(call: Call) -> tuple[Info, Info]:
    shape, most = call.shape(0), call.integer("maxsplit", -1)
    parts = most + 1 if most >= 0 else 1
    call.note(f"how many parts there are depends on data: taken as {parts}")
    return Info(DType.STRING, (*shape, parts), upper=True), Info(DType.INT64, shape)


@rule("RegexFullMatch")
def _regex_full_match(call: Call) -> tuple[Info]:
    return (Info(DType.BOOL, call.shape(0)),)


@rule("TfIdfVectorizer")
def _tf_idf_vectorizer(call: Call) -> tuple[Info]:
    shape, places = call.shape(0), call.integer_list("ngram_indexes") or [0]
    if len(shape) not in (1, 2):
        raise ShapeConflictError(f"an input of {text(shape)} is neither one nor many texts")
    return (Info(DType.FLOAT32, (*shape[:-1], max(places) + 1)),)


@rule("Adagrad", "Adam", "Momentum", domain="ai.onnx.preview.training")
def _optimiser(call: Call) -> tuple[Info, ...]:
    tensors = [found for found in call.inputs[2:] if found is not None]
    groups = {"Adagrad": 3, "Adam": 4, "Momentum": 3}[call.op]
    count = len(tensors) // groups
    kept = [*range(count), *range(2 * count, groups * count)]
    return tuple(Info(tensors[place].dtype, tensors[place].shape) for place in kept)


@rule("Gradient", domain="ai.onnx.preview.training")
def _gradient(call: Call) -> tuple[Info, ...]:
    count = min(_length_shape(call, "xs"), len(call.inputs))
    return tuple(Info(call.dtype(index), call.shape(index)) for index in range(count))
