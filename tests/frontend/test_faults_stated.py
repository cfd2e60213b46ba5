"""What is stated, by the file or by the user, and cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph, ModelError

ImportText = Callable[..., LayerGraph]


@pytest.mark.parametrize(
    ("scales", "attributes", "fits"),
    [
        ((3, 6), "axis=0, block_size=4", False),
        ((2, 6), "axis=0, block_size=4", True),
        ((2, 6), "axis=0, block_size=5", True),
        ((8, 2), "axis=-1, block_size=4", True),
        ((8, 1), "axis=-1, block_size=4", False),
        ((2, 5), "axis=0, block_size=4", False),
        ((2,), "axis=0, block_size=4", False),
        ((6,), "axis=1", True),
        ((8,), "axis=1", False),
        ((1,), "axis=1", True),
    ],
)
def test_scales_are_as_many_as_blocks(
    scales: tuple[int, ...], attributes: str, fits: bool, import_text: ImportText
) -> None:
    shape = ",".join(map(str, scales))
    text = f"""g (float[2, 8] x) => (float[2, 6] y) <int8[8, 6] w, float[{shape}] s> {{
        v = DequantizeLinear<{attributes}>(w, s) y = MatMul(x, v) }}"""
    if fits:
        assert import_text(text, opset=21).macs == 2 * 8 * 6
        return
    with pytest.raises(ModelError, match=r"8x6 quantised .*scales of .* are needed"):
        import_text(text, opset=21)
