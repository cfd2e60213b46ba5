"""Look-ups: of constant tables (embeddings) and of activations."""

from __future__ import annotations

from layerweaver.frontend.operation import GatherRead, Operation, Step
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.frontend.registry import MICROSOFT, ML, Treatment, lowers
from layerweaver.ir import DType, LayerKind, VectorCategory


@lowers("Gather", "GatherND", "GatherElements", treatment=Treatment.GATHER, category=MOVE)
@lowers("ArrayFeatureExtractor", domain=ML, treatment=Treatment.GATHER, category=MOVE)
def gather(operation: Operation) -> Step:
    """Rows of a constant table are fetched from DRAM; rows of an activation are moved on chip."""
    rows = operation.output_elements()
    if not operation.constant(0):
        return move_step(operation, rows, ())
    return Step(
        LayerKind.GATHER,
        vector=(operation.vector(MOVE, rows),),
        gathers=(GatherRead(operation.input_name(0), rows, operation.batched),),
    )


@lowers("GatherBlockQuantized", domain=MICROSOFT, treatment=Treatment.GATHER, category=MOVE)
def gather_block_quantized(operation: Operation) -> Step:
    """Rows of a table of small integers, packed in bytes or not, with a scale per block."""
    rows = operation.output_elements()
    if not operation.constant(0):
        return move_step(operation, rows, ())
    table = operation.input(0)
    bits = operation.integer("bits", 4)
    packed = table.dtype is DType.UINT8 and bits < 8
    dtype = _PACKED.get(bits, DType.UINT8) if packed else None
    elements = operation.elements(0) * 8 // bits if packed and bits > 0 else None
    block = max(1, operation.integer("block_size", 128))
    gathers = [GatherRead(table.name, rows, operation.batched, elements, dtype)]
    for index, values in ((2, rows // block), (3, rows // block)):
        if operation.constant(index):
            gathers.append(GatherRead(operation.input_name(index), values, operation.batched))
    return Step(LayerKind.GATHER, vector=(operation.vector(MOVE, rows),), gathers=tuple(gathers))


_PACKED = {2: DType.UINT2, 4: DType.UINT4, 8: DType.UINT8}


@lowers("EmbedLayerNormalization", domain=MICROSOFT, treatment=Treatment.GATHER)
def embed_layer_normalization(operation: Operation) -> Step:
    """Word, position and segment embeddings, their sum and its normalisation."""
    batch, tokens, width = operation.output_shape(0, least_rank=3)[:3]
    rows = batch * tokens * width
    gathers = [GatherRead(operation.input_name(2), rows, operation.batched)]
    gathers.append(GatherRead(operation.input_name(3), tokens * width, False))
    if operation.constant(4):
        gathers.append(GatherRead(operation.input_name(4), rows, operation.batched))
    return Step(
        LayerKind.GATHER,
        vector=(
            operation.vector(MOVE, rows),
            operation.vector(VectorCategory.ELEMENTWISE, rows, window=2),
            operation.vector(VectorCategory.NORMALIZATION, rows),
        ),
        gathers=tuple(gathers),
        weights=operation.weights(5, 6),
    )
