"""The domain ai.onnx.ml: classical models, costed as vector work over their features."""

from __future__ import annotations

import math

from layerweaver.frontend.operation import Lowered, Operation, Step, View
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.registry import ML, lowers


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
