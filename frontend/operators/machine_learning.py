"""The domain ai.onnx.ml: classical models, costed as vector work over their features."""

from __future__ import annotations

import math
from dataclasses import replace

from layerweaver.frontend.node.registry import ML, Treatment, like_first, operator
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered, Step, View, WeightRead
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.reader.model import TensorData
from layerweaver.ir import DType


def _cast_map_shape(call: Call) -> tuple[Info]:
    codes = {"TO_FLOAT": DType.FLOAT32, "TO_STRING": DType.STRING, "TO_INT64": DType.INT64}
    width = call.integer("max_map", 1) if call.text("map_form", "DENSE") == "SPARSE" else 1
    return (Info(codes.get(call.text("cast_to", "TO_FLOAT"), DType.FLOAT32), (1, max(width, 1))),)


def _category_mapper_shape(call: Call) -> tuple[Info]:
    dtype = DType.INT64 if call.dtype(0) is DType.STRING else DType.STRING
    return (Info(dtype, call.shape(0)),)


def _list_length(value: object) -> int:
    """Elements of an attribute that is a list, or an array; 0 of any other."""
    shape = getattr(value, "shape", None)
    if isinstance(value, tuple):
        return len(value)
    return math.prod(shape) if isinstance(shape, tuple) else 0


def _length_shape(call: Call, *names: str) -> int:
    lengths = (_list_length(call.attributes.get(name)) for name in names)
    return next((length for length in lengths if length), 0)


_NO_WEIGHTS = ("classlabels_", "classes_", "inputdimensions", "post_transform", "kernel_params")


def _stored(call: Call) -> tuple[WeightRead, ...]:
    """What the operator's attributes hold of the model: coefficients, support vectors, nodes of trees."""
    found = []
    for name, value in call.attributes.items():
        elements = _list_length(value)
        if elements > 1 and not name.startswith(_NO_WEIGHTS):
            first = value[0] if isinstance(value, tuple) else value
            dtype = DType.FLOAT32 if isinstance(first, float) else DType.INT64
            dtype = DType.UINT8 if isinstance(first, str | bytes) else dtype
            dtype = first.dtype if isinstance(first, TensorData) else dtype
            found.append(WeightRead(f"{call.key}:{name}", "matrix", elements, dtype))
    return tuple(found)


def _weighted(call: Call, step: Step) -> Step:
    return replace(step, weights=(*step.weights, *_stored(call)))


def _dict_vectorizer_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), (1, _length_shape(call, "string_vocabulary", "int64_vocabulary"))),)


def _rows(call: Call) -> int:
    shape = call.shape(0, least_rank=1)
    return shape[0] if len(shape) > 1 else 1


def _feature_vectorizer_shape(call: Call) -> tuple[Info]:
    widths = call.integer_list("inputdimensions") or [
        call.shape(index)[-1] for index in range(len(call.inputs))
    ]
    return (Info(DType.FLOAT32, (_rows(call), sum(widths))),)


def _label_encoder_shape(call: Call) -> tuple[Info]:
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


def _real_shape(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, call.shape(0)),)


def _one_hot_encoder_shape(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (*call.shape(0), _length_shape(call, "cats_int64s", "cats_strings"))),)


@operator("Binarizer", domain=ML, shape=like_first, category=ELEMENTWISE)
@operator("CastMap", domain=ML, shape=_cast_map_shape, category=ELEMENTWISE)
@operator("CategoryMapper", domain=ML, shape=_category_mapper_shape, category=ELEMENTWISE)
@operator("DictVectorizer", domain=ML, shape=_dict_vectorizer_shape, category=ELEMENTWISE)
@operator("FeatureVectorizer", domain=ML, shape=_feature_vectorizer_shape, category=ELEMENTWISE)
@operator("Imputer", domain=ML, shape=like_first, category=ELEMENTWISE)
@operator("LabelEncoder", domain=ML, shape=_label_encoder_shape, category=ELEMENTWISE)
@operator("Normalizer", domain=ML, shape=_real_shape, category=ELEMENTWISE)
@operator("OneHotEncoder", domain=ML, shape=_one_hot_encoder_shape, category=ELEMENTWISE)
@operator("Scaler", domain=ML, shape=_real_shape, category=ELEMENTWISE)
def preprocess(call: Call) -> Step:
    """One pass over the larger of input and output."""
    elements = max(call.output_elements(), call.elements(0))
    return _weighted(call, vector_step(call, ELEMENTWISE, elements))


def _length(call: Call, *names: str) -> int:
    return max((_list_length(call.attributes.get(name)) for name in names), default=0)


def _classes(call: Call) -> int:
    return max(_length_shape(call, "classlabels_strings", "classlabels_ints", "classlabels_int64s"), 1)


def _labelled(call: Call, scores: int) -> tuple[Info, Info]:
    """A label and ``scores`` numbers per sample."""
    labels = DType.STRING if call.attributes.get("classlabels_strings") else DType.INT64
    return Info(labels, (_rows(call),)), Info(DType.FLOAT32, (_rows(call), scores))


def _linear_classifier_shape(call: Call) -> tuple[Info, Info]:
    return _labelled(call, max(_classes(call), _length_shape(call, "intercepts")))


def _linear_regressor_shape(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (_rows(call), call.integer("targets", 1))),)


@operator("LinearClassifier", domain=ML, shape=_linear_classifier_shape, category=ELEMENTWISE, foldable=False)
@operator("LinearRegressor", domain=ML, shape=_linear_regressor_shape, category=ELEMENTWISE, foldable=False)
def linear(call: Call) -> Step:
    """One pass over the coefficients per sample."""
    coefficients = max(1, _length(call, "coefficients"))
    return _weighted(call, vector_step(call, ELEMENTWISE, _rows(call) * coefficients))


def _svm_classifier_shape(call: Call) -> tuple[Info, Info]:
    classes = _classes(call)
    pairs = call.attributes.get("prob_a") or call.attributes.get("prob_b")
    return _labelled(call, classes if pairs or classes <= 2 else classes * (classes - 1) // 2)


def _svm_regressor_shape(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (_rows(call), 1)),)


@operator("SVMClassifier", domain=ML, shape=_svm_classifier_shape, category=TRANSCENDENTAL, foldable=False)
@operator("SVMRegressor", domain=ML, shape=_svm_regressor_shape, category=TRANSCENDENTAL, foldable=False)
def support_vectors(call: Call) -> Step:
    """One pass over all support vectors per sample."""
    vectors = max(1, _length(call, "support_vectors", "coefficients"))
    return _weighted(call, vector_step(call, TRANSCENDENTAL, _rows(call) * vectors))


def _tree_ensemble_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), (_rows(call), call.integer("n_targets", 1))),)


def _tree_ensemble_classifier_shape(call: Call) -> tuple[Info, Info]:
    return _labelled(call, _classes(call))


def _tree_ensemble_regressor_shape(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (_rows(call), call.integer("n_targets", 1))),)


@operator("TreeEnsemble", domain=ML, shape=_tree_ensemble_shape, category=ELEMENTWISE)
@operator("TreeEnsembleClassifier", domain=ML, shape=_tree_ensemble_classifier_shape, category=ELEMENTWISE)
@operator("TreeEnsembleRegressor", domain=ML, shape=_tree_ensemble_regressor_shape, category=ELEMENTWISE)
def trees(call: Call) -> Step:
    """One comparison per level: per sample and tree the depth of a balanced tree."""
    identifiers = call.integer_list("nodes_treeids") or []
    count = len(set(identifiers)) or max(1, _length(call, "tree_roots"))
    nodes = max(1, _length(call, "nodes_treeids", "nodes_featureids"))
    depth = max(1, math.ceil(math.log2(max(2, nodes / count))))
    return _weighted(call, vector_step(call, ELEMENTWISE, _rows(call) * count, window=depth))


@operator("ZipMap", domain=ML, shape=like_first, treatment=Treatment.VIEW)
def zip_map(_call: Call) -> Lowered:
    """Names for columns: nothing moves."""
    return View(0)


def _optimiser_shape(call: Call) -> tuple[Info, ...]:
    tensors = [found for found in call.inputs[2:] if found is not None]
    groups = {"Adagrad": 3, "Adam": 4, "Momentum": 3}[call.op]
    count = len(tensors) // groups
    kept = [*range(count), *range(2 * count, groups * count)]
    return tuple(Info(tensors[place].dtype, tensors[place].shape) for place in kept)


def _gradient_shape(call: Call) -> tuple[Info, ...]:
    count = min(_length_shape(call, "xs"), len(call.inputs))
    return tuple(Info(call.dtype(index), call.shape(index)) for index in range(count))


@operator("Adam", domain="ai.onnx.preview.training", shape=_optimiser_shape, category=ELEMENTWISE)
@operator("Adagrad", domain="ai.onnx.preview.training", shape=_optimiser_shape, category=ELEMENTWISE)
@operator("Momentum", domain="ai.onnx.preview.training", shape=_optimiser_shape, category=ELEMENTWISE)
@operator("Gradient", domain="ai.onnx.preview.training", shape=_gradient_shape, category=ELEMENTWISE)
def optimizer(call: Call) -> Step:
    """A few passes over every updated tensor."""
    elements = sum(call.output_elements(index) for index in range(len(call.node.outputs)))
    return vector_step(call, ELEMENTWISE, elements, window=4)
