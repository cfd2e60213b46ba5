"""The domain com.ms.internal.nhwc: operators of the default domain whose images have channels last.

Weights are as in the default domain. Extents are turned, the default domain's rules asked, and what they say
is turned back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from layerweaver.frontend.node.registry import MATRIX, NHWC, Operator, known_operator, operator, repeat
from layerweaver.frontend.node.values import Info, ShapeConflictError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered, Step
from layerweaver.frontend.operators.convolution import conv_transpose, conv_transpose_shape
from layerweaver.frontend.operators.pooling import POOLING, pool, pooled
from layerweaver.ir import VectorCategory

_TURNED = (
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"),
    *("GlobalLpPool", "BatchNormalization", "InstanceNormalization", "LRN", "DepthToSpace", "SpaceToDepth"),
    *("QLinearConv", "GridSample", "MaxUnpool"),
)


def _channels_first(info: Info | None) -> Info | None:
    if info is None or info.shape is None or len(info.shape) < 3:
        return info
    return info.part((info.shape[0], info.shape[-1], *info.shape[1:-1]))


def _turned(call: Call) -> Call:
    first = call.inputs[0] if call.inputs else None
    outputs = [_channels_first(info) for info in call.outputs]
    return Call(call.node, [_channels_first(first), *call.inputs[1:]], call.opset, outputs)


def _register(entry: Operator) -> None:
    def shape(call: Call) -> tuple[Info, ...]:
        if entry.shape is None:
            raise ShapeConflictError("it has no shape rule")
        call.shape(0, least_rank=3)
        outputs = tuple(entry.shape(_turned(call)))
        for info in outputs:
            if info.shape is not None and len(info.shape) > 2:
                info.shape = (info.shape[0], *info.shape[2:], info.shape[1])
        return outputs

    @operator(entry.name, domain=NHWC, shape=shape, treatment=entry.treatment, category=entry.category)
    def work(call: Call) -> Lowered:
        """As in the default domain, with channels in the last axis."""
        if entry.work is None:
            raise ShapeConflictError("its work is not described")
        return entry.work(_turned(call))


for _name in _TURNED:
    _register(known_operator(_name))

repeat(("Resize",), NHWC)
"""Its scales and sizes are in the order of the image's axes."""


def _plain(call: Call, indices: Sequence[int], *, without: str = "") -> Call:
    """The node with only the inputs ``indices`` and without an attribute, its channels first."""
    attributes = {name: value for name, value in call.attributes.items() if name != without}
    names = tuple(call.node.inputs[index] if call.has(index) else "" for index in indices)
    inputs = [call.info(index) if call.has(index) else None for index in indices]
    node = replace(call.node, inputs=names, attributes=attributes)
    return _turned(Call(node, inputs, call.opset, call.outputs))


def _channels_last(info: Info) -> tuple[Info]:
    if info.shape is not None:
        info.shape = (info.shape[0], *info.shape[2:], info.shape[1])
    return (info,)


def _quantized_transpose_shape(call: Call) -> tuple[Info]:
    call.shape(0, least_rank=3)
    return _channels_last(conv_transpose_shape(_plain(call, (0, 3, 8)))[0])


@operator("QLinearConvTranspose", domain=NHWC, shape=_quantized_transpose_shape, treatment=MATRIX)
def quantized_transpose(call: Call) -> Step:
    """A transposed convolution of 8-bit values, requantised."""
    step = conv_transpose(_plain(call, (0, 3, 8)))
    requantize = call.vector(VectorCategory.ELEMENTWISE, call.output_elements())
    scales = call.weights(1, 2, 4, 5, 6, 7, role="vector")
    return replace(step, reads=call.node.inputs, weights=step.weights + scales, vector=(requantize,))


def _quantized_pool_shape(call: Call) -> tuple[Info]:
    plain = _plain(call, (0,), without="channels_last")
    return _channels_last(Info(call.dtype(0), pooled(plain, plain.shape(0, least_rank=3))))


operator("QLinearAveragePool", domain=NHWC, shape=_quantized_pool_shape, category=POOLING)(pool)
