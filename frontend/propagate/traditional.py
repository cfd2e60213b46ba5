"""Shapes of the operators of ai.onnx.ml and of text."""

from __future__ import annotations

from layerweaver.frontend.propagate.call import ML, Call, rule
from layerweaver.frontend.propagate.elementwise import broadcast_inputs
from layerweaver.frontend.propagate.values import Info, ShapeConflictError, text
from layerweaver.ir.dtypes import DType

__all__: list[str] = []


def _length(call: Call, *names: str) -> int:
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
    return (Info(call.dtype(0), (1, _length(call, "string_vocabulary", "int64_vocabulary"))),)


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
    classes = max(_length(call, "classlabels_strings", "classlabels_ints"), _length(call, "intercepts"), 1)
    rows = _rows(call)
    return Info(_labels(call, "classlabels_strings"), (rows,)), Info(DType.FLOAT32, (rows, classes))


@rule("LinearRegressor", domain=ML, foldable=False)
def _linear_regressor(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (_rows(call), call.integer("targets", 1))),)


@rule("OneHotEncoder", domain=ML)
def _one_hot_encoder(call: Call) -> tuple[Info]:
    return (Info(DType.FLOAT32, (*call.shape(0), _length(call, "cats_int64s", "cats_strings"))),)


@rule("SVMClassifier", domain=ML, foldable=False)
def _svm_classifier(call: Call) -> tuple[Info, Info]:
    classes = max(_length(call, "classlabels_strings", "classlabels_ints"), 1)
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
    classes = max(_length(call, "classlabels_strings", "classlabels_int64s"), 1)
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
    count = min(_length(call, "xs"), len(call.inputs))
    return tuple(Info(call.dtype(index), call.shape(index)) for index in range(count))
