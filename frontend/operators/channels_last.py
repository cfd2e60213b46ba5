"""The domain com.ms.internal.nhwc: operators of the default domain whose images have channels last.

Weights are as in the default domain. Extents are turned, the default domain's rules asked, and what they say
is turned back.
"""

from __future__ import annotations

from layerweaver.frontend.node.registry import NHWC, Operator, known_operator, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered

_TURNED = (
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"),
    *("GlobalLpPool", "BatchNormalization", "InstanceNormalization", "LRN", "DepthToSpace", "SpaceToDepth"),
    "QLinearConv",
)


def _channels_first(info: Info | None) -> Info | None:
    if info is None or info.shape is None or len(info.shape) < 3:
        return info
    turned = Info(info.dtype, (info.shape[0], info.shape[-1], *info.shape[1:-1]), upper=info.upper)
    turned.name, turned.constant, turned.batched, turned.roots = (
        info.name,
        info.constant,
        info.batched,
        info.roots,
    )
    return turned


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
