"""Small PyTorch networks whose shapes depend on data: detectors that suppress boxes, routed experts.

PyTorch has no suppression of its own, so one is registered here, with what both exporters make of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18
from torch import Tensor, nn
from torch.nn import functional

Example = tuple[nn.Module, tuple[Tensor, ...]]

_MOST, _OVERLAP = 1000, 0.5


def _suppressed(boxes: Tensor, scores: Tensor) -> Tensor:
    """Places of the boxes that overlap no better one too much, best first."""
    kept: list[int] = []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for place in scores.argsort(descending=True).tolist():
        low = torch.maximum(boxes[place, :2], boxes[kept, :2])
        high = torch.minimum(boxes[place, 2:], boxes[kept, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        if bool((shared <= _OVERLAP * (areas[place] + areas[kept] - shared)).all()):
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)


def _unknown(boxes: Tensor, _scores: Tensor) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


suppress = torch.library.custom_op("layerweaver_tests::suppress", _suppressed, mutates_args=())
torch.library.register_fake("layerweaver_tests::suppress", _unknown)


def _traced(graph: Any, boxes: Any, scores: Any) -> Any:
    def constant(value: Any) -> Any:
        return graph.op("Constant", value_t=torch.tensor(value))

    found = graph.op(
        "NonMaxSuppression",
        graph.op("Unsqueeze", boxes, constant([0])),
        graph.op("Unsqueeze", scores, constant([0, 1])),
        constant([_MOST]),
        constant([_OVERLAP]),
    )
    places = graph.op("Slice", found, constant([2]), constant([3]), constant([1]))
    return graph.op("Squeeze", places, constant([1]))


def _scripted(boxes: Any, scores: Any) -> Any:
    found = opset18.NonMaxSuppression(
        opset18.Unsqueeze(boxes, opset18.Constant(value_ints=[0])),
        opset18.Unsqueeze(scores, opset18.Constant(value_ints=[0, 1])),
        opset18.Constant(value_ints=[_MOST]),
        opset18.Constant(value_floats=[_OVERLAP]),
    )
    places = opset18.Slice(found, *(opset18.Constant(value_ints=[at]) for at in (2, 3, 1)))
    return opset18.Squeeze(places, opset18.Constant(value_ints=[1]))


torch.onnx.register_custom_op_symbolic("layerweaver_tests::suppress", _traced, 11)
TRANSLATIONS = {torch.ops.layerweaver_tests.suppress.default: _scripted}
"""What the exporter by graphs makes of the operators above."""


class Anchored(nn.Module):
    """Boxes and scores of every place of two sizes of features, as one list."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.large, self.small = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.boxes, self.scores = nn.Conv2d(8, 4, 1), nn.Conv2d(8, kinds, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        large = functional.relu(self.large(x))
        levels = (large, functional.relu(self.small(large)))
        centres = torch.cat([self.boxes(level).flatten(2)[0].T for level in levels])
        boxes = torch.cat([centres[:, :2], centres[:, :2] + centres[:, 2:].exp()], 1)
        scores = torch.cat([self.scores(level).flatten(2)[0].T for level in levels]).sigmoid()
        return boxes, scores, torch.cat([level.flatten(2)[0].T for level in levels])


def suppressing() -> Example:
    class OneStage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.anchored = Anchored(5)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            boxes, scores, _ = self.anchored(x)
            best, kind = scores.max(1)
            kept = suppress(boxes, best)
            return boxes[kept], best[kept], kind[kept]

    return OneStage(), (torch.rand(1, 3, 32, 32),)


def proposing() -> Example:
    class TwoStages(nn.Module):
        """Only what the first stage keeps goes through the second."""

        def __init__(self) -> None:
            super().__init__()
            self.anchored = Anchored(1)
            self.inside, self.kind, self.box = nn.Linear(8, 32), nn.Linear(32, 6), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            boxes, scores, features = self.anchored(x)
            kept = suppress(boxes, scores[:, 0])
            inside = functional.relu(self.inside(features[kept]))
            return boxes[kept] + self.box(inside), self.kind(inside).softmax(-1)

    return TwoStages(), (torch.rand(1, 3, 32, 32),)


ARCHITECTURES: dict[str, Callable[[], Example]] = {make.__name__: make for make in (suppressing, proposing)}
