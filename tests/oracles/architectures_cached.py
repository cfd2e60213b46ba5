"""Small PyTorch decoders that attend to caches, and one that speaks for as long as data tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Example = tuple[nn.Module, tuple[Tensor, ...]]

_HEADS, _EACH = 4, 8
_WIDTH = _HEADS * _EACH


def _split(x: Tensor) -> Tensor:
    return x.view(x.shape[0], x.shape[1], _HEADS, _EACH).transpose(1, 2)


class Seen(nn.Module):
    """Attention to keys and values that are there already."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.out = nn.Linear(_WIDTH, _WIDTH), nn.Linear(_WIDTH, _WIDTH)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        found = functional.scaled_dot_product_attention(_split(self.query(x)), keys, values)
        seen: Tensor = self.out(found.transpose(1, 2).reshape(x.shape))
        return seen


def hearing() -> Example:
    class Hearing(nn.Module):
        """An encoder of sound that also projects what every layer of the decoder will look up."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv1d(8, _WIDTH, 3, 1, 1), nn.Conv1d(_WIDTH, _WIDTH, 3, 2, 1)
            self.places = nn.Parameter(torch.rand(20, _WIDTH))
            self.body = nn.TransformerEncoderLayer(_WIDTH, _HEADS, 64, batch_first=True, norm_first=True)
            self.cross = nn.ModuleList(nn.Linear(_WIDTH, 2 * _WIDTH) for _ in range(2))

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            x = functional.gelu(self.second(functional.gelu(self.first(x)))).transpose(1, 2) + self.places
            x = self.body(x)
            pairs = (project(x).chunk(2, -1) for project in self.cross)
            return tuple(_split(part) for pair in pairs for part in pair)

    return Hearing(), (torch.rand(1, 8, 40),)


def whispering() -> Example:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.key, self.value = nn.Linear(_WIDTH, _WIDTH, bias=False), nn.Linear(_WIDTH, _WIDTH)
            self.own, self.other = Seen(), Seen()
            self.norms = nn.ModuleList(nn.LayerNorm(_WIDTH) for _ in range(3))
            self.mix = nn.Sequential(nn.Linear(_WIDTH, 64), nn.GELU(), nn.Linear(64, _WIDTH))

        def forward(self, x: Tensor, cache: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
            inside = self.norms[0](x)
            keys = torch.cat([cache[0], _split(self.key(inside))], 2)
            values = torch.cat([cache[1], _split(self.value(inside))], 2)
            x = x + self.own(inside, keys, values)
            x = x + self.other(self.norms[1](x), cache[2], cache[3])
            return x + self.mix(self.norms[2](x)), keys, values

    class Whispering(nn.Module):
        """One token by a decoder of two layers, each with a cache that grows and one that stays."""

        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(60, _WIDTH), nn.Parameter(torch.rand(16, _WIDTH))
            self.layers = nn.ModuleList(Layer() for _ in range(2))

        def forward(self, token: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
            past = caches[0].shape[2]
            x = self.words(token) + self.places[past : past + token.shape[1]]
            grown: list[Tensor] = []
            for place, layer in enumerate(self.layers):
                x, keys, values = layer(x, caches[4 * place : 4 * place + 4])
                grown += [keys, values]
            return (x @ self.words.weight.T, *grown)

    def cache(length: int) -> tuple[Tensor, Tensor]:
        return torch.rand(1, _HEADS, length, _EACH), torch.rand(1, _HEADS, length, _EACH)

    return Whispering(), (torch.randint(0, 60, (1, 1)), *(2 * (*cache(5), *cache(20))))


def speaking() -> Example:
    class Speaking(nn.Module):
        """Tokens last as many frames as the network finds; the frames are decoded at their own rate."""

        def __init__(self) -> None:
            super().__init__()
            self.words, self.lasts = nn.Embedding(30, 16), nn.Conv1d(16, 1, 3, padding=1)
            self.mix, self.out = nn.Conv1d(16, 16, 5, padding=2), nn.ConvTranspose1d(16, 1, 8, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            inside = self.words(tokens).transpose(1, 2)
            ends = torch.ceil(2 + self.lasts(inside)[:, 0].abs()).cumsum(1)
            last: Any = ends.max().long()
            frames = torch.arange(last.item() if torch.compiler.is_exporting() else last, dtype=ends.dtype)
            ends = ends[:, :, None]
            begun = functional.pad(ends, (0, 0, 1, 0))[:, :-1]
            path = ((frames >= begun) & (frames < ends)).to(inside.dtype)
            heard: Tensor = self.out(functional.relu(self.mix(inside @ path)))
            return heard

    return Speaking(), (torch.randint(0, 30, (1, 9)),)


ARCHITECTURES: dict[str, Callable[[], Example]] = {
    make.__name__: make for make in (hearing, whispering, speaking)
}
