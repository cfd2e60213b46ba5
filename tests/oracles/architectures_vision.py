"""Small PyTorch networks for pictures and shapes; imported only where PyTorch is installed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Example = tuple[nn.Module, tuple[Tensor, ...]]


def _images(*, channels: int = 3, size: int = 32, batch: int = 1) -> Tensor:
    return torch.rand(batch, channels, size, size)


class Residual(nn.Module):
    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inside(x)


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            nn.SiLU(),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.gate(x)
        return gated


def convolutional() -> Example:
    block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3), nn.MaxPool2d(2), Residual(block), head), (_images(),)


def depthwise() -> Example:
    parts = [nn.Conv2d(8, 48, 1), nn.ReLU6(), nn.Conv2d(48, 48, 3, 1, 1, groups=48), nn.Hardswish()]
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), Residual(nn.Sequential(*parts, nn.Conv2d(48, 8, 1)))), (
        _images(),
    )


def excited() -> Example:
    return nn.Sequential(nn.Conv2d(3, 16, 3), Squeeze(16), nn.Conv2d(16, 8, 3, dilation=2)), (_images(),)


def modern_convolutional() -> Example:
    class Permuted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depth = nn.Conv2d(12, 12, 7, padding=3, groups=12)
            self.norm = nn.LayerNorm(12)
            self.mix = nn.Sequential(nn.Linear(12, 48), nn.GELU(), nn.Linear(48, 12))

        def forward(self, x: Tensor) -> Tensor:
            inside = self.mix(self.norm(self.depth(x).permute(0, 2, 3, 1)))
            return x + inside.permute(0, 3, 1, 2)

    return nn.Sequential(nn.Conv2d(3, 12, 4, 4), Permuted()), (_images(),)


def segmenting() -> Example:
    class Ladder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.low = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, 2, 1)
            self.up, self.out = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            high = functional.relu(self.down(x))
            low = self.up(functional.relu(self.low(high)))
            whole: Tensor = self.out(torch.cat([high, low], 1))
            return functional.interpolate(whole, scale_factor=2.0, mode="bilinear")

    return Ladder(), (_images(),)


def upscaling() -> Example:
    return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(3, 3, 3)), (_images(),)


def volumetric() -> Example:
    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.InstanceNorm3d(4), nn.ConvTranspose3d(4, 2, 2, 2)), (
        torch.rand(1, 1, 8, 12, 12),
    )


def detecting() -> Example:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.boxes = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 4, 1)
            self.scores = nn.Conv2d(8, 5, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            features = functional.leaky_relu(self.body(x))
            scores = self.scores(features).flatten(2).sigmoid().amax(1)
            best, places = scores.topk(10, dim=1)
            boxes = self.boxes(features).flatten(2)
            return best, boxes.gather(2, places[:, None].expand(-1, 4, -1))

    return Detector(), (_images(),)


def seeing() -> Example:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cut, self.mark = nn.Conv2d(3, 32, 8, 8), nn.Parameter(torch.zeros(1, 1, 32))
            self.body = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            parts = self.cut(x).flatten(2).transpose(1, 2)
            seen: Tensor = self.body(torch.cat([self.mark.expand(x.shape[0], -1, -1), parts], 1))
            return seen[:, 0]

    return Patches(), (_images(),)


def windowed() -> Example:
    class Windows(nn.Module):
        """Attention in shifted windows."""

        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Linear(16, 48)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.roll(x, (-2, -2), (1, 2))
            x = x.view(1, 2, 4, 2, 4, 16).permute(0, 1, 3, 2, 4, 5).reshape(4, 16, 16)
            query, key, value = self.inside(x).chunk(3, -1)
            seen = torch.softmax(query @ key.transpose(1, 2), -1) @ value
            return torch.roll(seen.view(1, 2, 2, 4, 4, 16).permute(0, 1, 3, 2, 4, 5), (2, 2), (2, 3))

    return Windows(), (torch.rand(1, 8, 8, 16),)


def diffusing() -> Example:
    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
            self.norm, self.time = nn.GroupNorm(4, 8), nn.Linear(10, 16)
            self.query, self.other = nn.Linear(8, 8), nn.Linear(12, 16)

        def forward(self, x: Tensor, time: Tensor, text: Tensor) -> Tensor:
            angles = time[:, None] * torch.arange(5)[None]
            inside = self.first(functional.silu(self.norm(x)))
            inside = inside + self.time(torch.cat([angles.sin(), angles.cos()], 1))[:, :, None, None]
            x = x + self.second(functional.silu(inside))
            query = self.query(x.flatten(2).transpose(1, 2))
            key, value = self.other(text).chunk(2, -1)
            seen = functional.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
            return x + seen.transpose(1, 2).reshape(x.shape)

    return Denoiser(), (_images(channels=8, size=16), torch.rand(1), torch.rand(1, 7, 12))


def deformable() -> Example:
    class Deformable(nn.Module):
        """Attention that samples few points of a picture."""

        def __init__(self) -> None:
            super().__init__()
            self.value, self.places = nn.Conv2d(8, 8, 1), nn.Linear(8, 8)
            self.weights, self.out = nn.Linear(8, 4), nn.Linear(8, 8)

        def forward(self, query: Tensor, picture: Tensor) -> Tensor:
            places = self.places(query).view(1, -1, 4, 2).tanh()
            seen = functional.grid_sample(self.value(picture), places, align_corners=False)
            mixed: Tensor = self.out(
                (seen * self.weights(query).softmax(-1)[:, None]).sum(-1).transpose(1, 2)
            )
            return mixed

    return Deformable(), (torch.rand(1, 6, 8), _images(channels=8, size=16))


def graph_shaped() -> Example:
    class Graph(nn.Module):
        """Messages along edges, summed at their ends."""

        def __init__(self) -> None:
            super().__init__()
            self.message, self.update = nn.Linear(16, 12), nn.Linear(20, 8)

        def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
            sent = self.message(torch.cat([nodes[edges[0]], nodes[edges[1]]], -1)).relu()
            got = torch.zeros(nodes.shape[0], 12).scatter_add(0, edges[1][:, None].expand(-1, 12), sent)
            updated: Tensor = self.update(torch.cat([nodes, got], -1))
            return updated

    return Graph(), (torch.rand(9, 8), torch.randint(0, 9, (2, 20)))


def pointwise() -> Example:
    class Points(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turn, self.body = nn.Linear(3, 9), nn.Conv1d(3, 32, 1)
            self.head = nn.Linear(32, 5)

        def forward(self, x: Tensor) -> Tensor:
            matrix = self.turn(x.mean(-1)).view(-1, 3, 3)
            found: Tensor = self.head(self.body(torch.bmm(matrix, x)).relu().amax(-1))
            return found

    return Points(), (torch.rand(2, 3, 40),)


ARCHITECTURES: dict[str, Callable[[], Example]] = {
    make.__name__: make
    for make in (
        convolutional,
        depthwise,
        excited,
        modern_convolutional,
        segmenting,
        upscaling,
        volumetric,
        detecting,
        seeing,
        windowed,
        diffusing,
        deformable,
        graph_shaped,
        pointwise,
    )
}
