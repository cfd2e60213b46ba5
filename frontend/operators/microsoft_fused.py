"""Fused products and convolutions of the domain com.microsoft."""

from __future__ import annotations

from layerweaver.frontend.operation import Lowered, Operation, Step, axis_for
from layerweaver.frontend.operators.convolution import convolution
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.product import gemm_product, matrix_product, product_step
from layerweaver.frontend.registry import MICROSOFT, NCHWC, Treatment, lowers
from layerweaver.ir import LayerKind, MatrixWork, VectorCategory, VectorWork

_PIECEWISE_LINEAR = ("Relu", "LeakyRelu", "Clip", "HardSigmoid", "ThresholdedRelu")


def _activation(operation: Operation) -> tuple[VectorWork, ...]:
    name = operation.text("activation", "")
    if not name:
        return ()
    category = ELEMENTWISE if name in _PIECEWISE_LINEAR else TRANSCENDENTAL
    return (operation.vector(category, operation.output_elements(), operator=name),)


@lowers("FusedConv", domain=MICROSOFT, treatment=Treatment.MATRIX)
@lowers("Conv", domain=NCHWC, treatment=Treatment.MATRIX)
def fused_conv(operation: Operation) -> Step:
    """Convolution, bias, an optional residual and an activation."""
    residual = operation.vector(ELEMENTWISE, operation.output_elements(), operator="Add")
    return convolution(
        operation,
        parameters=operation.weights(1, 2),
        vector=((residual,) if operation.has_input(3) else ()) + _activation(operation),
    )


@lowers("NhwcConv", "NhwcFusedConv", domain=MICROSOFT, treatment=Treatment.MATRIX)
def channels_last_conv(operation: Operation) -> Step:
    """The same with channels in the last axis."""
    residual = operation.vector(ELEMENTWISE, operation.output_elements(), operator="Add")
    return convolution(
        operation,
        parameters=operation.weights(1, 2),
        vector=((residual,) if operation.has_input(3) else ()) + _activation(operation),
        channels_last=True,
    )


@lowers("FusedMatMul", "TransposeMatMul", domain=MICROSOFT, treatment=Treatment.MATRIX)
def fused_matmul(operation: Operation) -> Step:
    """Product with transposed operands and a scale."""
    work = matrix_product(
        operation,
        transpose_left=operation.integer("transA", 0) != 0,
        transpose_right=operation.integer("transB", 0) != 0,
    )
    return product_step(work, operation.weights(0, 1))


@lowers("FusedMatMulActivation", domain=MICROSOFT, treatment=Treatment.MATRIX)
def fused_matmul_activation(operation: Operation) -> Step:
    """The same with an activation."""
    step = fused_matmul(operation)
    return Step(step.kind, matrix=step.matrix, weights=step.weights, vector=_activation(operation))


@lowers("FusedGemm", domain=MICROSOFT, treatment=Treatment.MATRIX)
def fused_gemm(operation: Operation) -> Step:
    """Gemm with an activation."""
    return product_step(gemm_product(operation), operation.weights(0, 1, 2), _activation(operation))


@lowers("GemmFastGelu", domain=MICROSOFT, treatment=Treatment.MATRIX)
def gemm_fast_gelu(operation: Operation) -> Step:
    """Product, bias and GELU."""
    gelu = operation.vector(TRANSCENDENTAL, operation.output_elements(), operator="FastGelu")
    return product_step(matrix_product(operation), operation.weights(1, 2), (gelu,))


@lowers("MoE", domain=MICROSOFT, treatment=Treatment.MATRIX)
def mixture_of_experts(operation: Operation) -> Lowered:
    """Every token runs through ``k`` experts of two or three products; all experts are fetched."""
    shape = operation.shape(0, least_rank=2)
    tokens, width = operation.elements(0) // max(1, shape[-1]), shape[-1]
    experts, inner = operation.shape(2, least_rank=3)[0], operation.elements(2)
    inner = inner // max(1, experts * width)
    sent = tokens * max(1, operation.integer("k", 1))
    groups = experts if experts and sent % experts == 0 else 1
    rows = sent // groups
    hidden = f"{operation.key}:hidden"
    axis = axis_for(operation.batched)
    gate = inner if operation.has_input(6) else 0
    entry = MatrixWork(groups, rows, inner + gate, width, operation.constant(2), 1, axis)
    leave = MatrixWork(groups, rows, width, inner, operation.constant(4), 1, axis)
    activation = VectorWork(
        operation.operator, VectorCategory.TRANSCENDENTAL, sent * inner, 1, operation.batched
    )
    return (
        Step(
            LayerKind.MATRIX,
            reads=operation.node.inputs[:2],
            writes=(hidden,),
            matrix=entry,
            vector=(activation,),
            weights=operation.weights(2, 3, 6, 7),
            suffix="expand",
            internal={hidden: sent * inner},
        ),
        Step(
            LayerKind.MATRIX,
            reads=(hidden,),
            matrix=leave,
            weights=operation.weights(4, 5),
            suffix="contract",
        ),
    )


@lowers("BiasAdd", "BiasDropout", "BitmaskDropout", domain=MICROSOFT, category=ELEMENTWISE)
@lowers("Trilu", "Inverse", "GridSample", domain=MICROSOFT, category=ELEMENTWISE)
def elementwise(operation: Operation) -> Step:
    """One pass over the results."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements())
