"""The shipped operators, one file per topic: how their shapes follow and which work they are.

Importing this package registers them all.
"""

from importlib import import_module

from layerweaver.frontend.node.registry import MICROSOFT, repeat

_TOPICS = (
    *("activation", "attention", "causal", "constants", "control", "convolution", "einsum", "elementwise"),
    *("image", "indexing", "machine_learning", "movement", "normalization", "pooling", "products"),
    *("quantization", "recurrent", "reduction", "selection", "sequences", "signal", "strings", "views"),
)

_CONTRIB = (
    *("attention", "blocked", "experts", "fused", "indexing", "packed_products"),
    *("paged_attention", "quantized", "searches", "vector", "channels_last"),
)
"""The last of them repeats operators of the others."""

for _topic in (*_TOPICS, *(f"contrib.{topic}" for topic in _CONTRIB)):
    import_module(f"{__name__}.{_topic}")

_REPEATED = (
    *("Gather", "GatherND", "Pad", "Range", "Unique", "LayerNormalization", "Conv", "ConvTranspose"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Gemm", "MatMul", "Add", "Mul", "Sub", "Div", "Relu"),
    *("Sigmoid", "Tanh", "Softmax", "Concat", "Split", "Clip", "Transpose", "Reshape", "Where", "ReduceSum"),
    *("ReduceMean", "Resize", "Upsample", "Cast", "QLinearMatMul", "MatMulInteger", "ConvInteger"),
    "DynamicQuantizeLinear",
)
"""Operators that this domain has as the default one."""

repeat(_REPEATED, MICROSOFT)
