"""The shipped operators, one file per topic: how their shapes follow and which work they are.

Importing this package registers them all.
"""

from importlib import import_module

from layerweaver.frontend.node.registry import MICROSOFT, repeat

_TOPICS = (
    *("activation", "attention", "blocked", "causal", "constants", "control", "convolution", "einsum"),
    *("elementwise", "experts", "packed_products", "contrib_attention", "contrib_indexing", "contrib_vector"),
    *("image", "indexing", "machine_learning", "microsoft", "microsoft_attention", "movement", "ordered"),
    *("normalization", "pooling", "products", "quantized", "recurrent", "reduction", "searches"),
    *("selection", "sequences", "signal", "strings", "views"),
)

for _topic in (*_TOPICS, "channels_last"):
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
