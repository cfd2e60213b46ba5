"""Small PyTorch networks for sequences and tables; imported only where PyTorch is installed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Example = tuple[nn.Module, tuple[Tensor, ...]]


def recurrent() -> Example:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(100, 16), nn.Linear(48, 9)
            self.cells = nn.LSTM(16, 24, num_layers=2, bidirectional=True, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tags: Tensor = self.out(self.cells(self.words(x))[0])
            return tags

    return Tagger(), (torch.randint(0, 100, (1, 12)),)


def gated() -> Example:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells, self.plain = nn.GRU(8, 16), nn.RNN(16, 6)

        def forward(self, x: Tensor) -> Tensor:
            last: Tensor = self.plain(self.cells(x)[0])[0]
            return last

    return Gated(), (torch.rand(7, 1, 8),)


def transducing() -> Example:
    class Transducer(nn.Module):
        """Encoder, predictor and joiner of a recurrent transducer."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.predictor = (
                nn.LSTM(20, 32, batch_first=True),
                nn.LSTM(16, 32, batch_first=True),
            )
            self.words, self.joiner = nn.Embedding(30, 16), nn.Linear(32, 30)

        def forward(self, sound: Tensor, text: Tensor) -> Tensor:
            heard, said = self.encoder(sound)[0], self.predictor(self.words(text))[0]
            joined: Tensor = self.joiner(torch.tanh(heard[:, :, None] + said[:, None]))
            return joined

    return Transducer(), (torch.rand(1, 25, 20), torch.randint(0, 30, (1, 6)))


def causal_convolutional() -> Example:
    class Wave(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ModuleList(nn.Conv1d(8, 16, 2, dilation=2**k) for k in range(4))
            self.first, self.last = nn.Conv1d(1, 8, 1), nn.Conv1d(8, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            for index, step in enumerate(self.steps):
                both = step(functional.pad(x, (2**index, 0)))
                x = x + torch.tanh(both[:, :8]) * torch.sigmoid(both[:, 8:])
            last: Tensor = self.last(x)
            return last

    return Wave(), (torch.rand(1, 1, 64),)


def encoding() -> Example:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (torch.rand(1, 10, 32),)


def translating() -> Example:
    class Translator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
            self.write = nn.TransformerDecoderLayer(32, 4, 64, batch_first=True)

        def forward(self, there: Tensor, here: Tensor) -> Tensor:
            written: Tensor = self.write(here, self.read(there))
            return written

    return Translator(), (torch.rand(1, 9, 32), torch.rand(1, 5, 32))


class Attention(nn.Module):
    """Attention over a cache, with fewer heads of keys than of queries."""

    def __init__(self, width: int = 32, heads: int = 4, shared: int = 2) -> None:
        super().__init__()
        self.heads, self.shared, self.each = heads, shared, width // heads
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * shared * self.each)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, width = x.shape
        query = self.query(x).view(batch, length, self.heads, self.each).transpose(1, 2)
        both = self.key_value(x).view(batch, length, 2, self.shared, self.each).permute(2, 0, 3, 1, 4)
        keys, values = torch.cat([keys, both[0]], 2), torch.cat([values, both[1]], 2)
        repeats = self.heads // self.shared
        wide, deep = keys.repeat_interleave(repeats, 1), values.repeat_interleave(repeats, 1)
        seen = functional.scaled_dot_product_attention(query, wide, deep)
        return self.out(seen.transpose(1, 2).reshape(batch, length, width)), keys, values


def decoding() -> Example:
    return Attention(), (torch.rand(1, 1, 32), torch.rand(1, 2, 15, 8), torch.rand(1, 2, 15, 8))


def selective() -> Example:
    class Selective(nn.Module):
        """A state-space block whose scan is written out."""

        def __init__(self) -> None:
            super().__init__()
            self.inside, self.mix = nn.Linear(8, 32), nn.Conv1d(16, 16, 4, padding=3, groups=16)
            self.choose, self.out = nn.Linear(16, 2 * 4 + 1), nn.Linear(16, 8)

        def forward(self, x: Tensor) -> Tensor:
            x, gate = self.inside(x).chunk(2, -1)
            x = functional.silu(self.mix(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
            enter, leave, step = self.choose(x).split([4, 4, 1], -1)
            state, seen = torch.zeros(x.shape[0], 16, 4), []
            for place in range(6):
                decay = torch.exp(-functional.softplus(step[:, place]))[..., None]
                state = state * decay + x[:, place, :, None] * enter[:, place, None, :]
                seen.append((state @ leave[:, place, :, None]).squeeze(-1))
            whole: Tensor = self.out(torch.stack(seen, 1) * functional.silu(gate))
            return whole

    return Selective(), (torch.rand(1, 6, 8),)


def expert() -> Example:
    class Experts(nn.Module):
        """Experts that all compute, weighted by a gate."""

        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(16, 4)
            self.up, self.down = nn.Parameter(torch.rand(4, 16, 32)), nn.Parameter(torch.rand(4, 32, 16))

        def forward(self, x: Tensor) -> Tensor:
            weights, chosen = self.gate(x).softmax(-1).topk(2, -1)
            share = torch.zeros(x.shape[0], 4).scatter(1, chosen, weights)
            inside = torch.einsum("td,edf->etf", x, self.up).relu()
            return torch.einsum("etd,te->td", torch.bmm(inside, self.down), share)

    return Experts(), (torch.rand(5, 16),)


def recommending() -> Example:
    class Recommender(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tables = nn.ModuleList(nn.Embedding(50, 8) for _ in range(3))
            self.dense, self.top = (
                nn.Linear(13, 8),
                nn.Sequential(nn.Linear(14, 16), nn.ReLU(), nn.Linear(16, 1)),
            )

        def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
            first = self.dense(dense)
            found = [table(sparse[:, index]) for index, table in enumerate(self.tables)]
            stack = torch.stack([first, *found], 1)
            pairs = torch.bmm(stack, stack.transpose(1, 2))
            rows, columns = torch.tril_indices(4, 4, -1)
            score: Tensor = self.top(torch.cat([first, pairs[:, rows, columns]], 1))
            return score

    return Recommender(), (torch.rand(2, 13), torch.randint(0, 50, (2, 3)))


def listening() -> Example:
    class Listener(nn.Module):
        """A conformer's halves: convolution with a gate between products."""

        def __init__(self) -> None:
            super().__init__()
            self.sub = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU())
            self.flat, self.wide = nn.Linear(8 * 9, 16), nn.Conv1d(16, 32, 1)
            self.depth, self.seen = nn.Conv1d(16, 16, 7, padding=3, groups=16), nn.MultiheadAttention(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            found = self.sub(x[:, None])
            found = self.flat(found.transpose(1, 2).flatten(2))
            found = found + self.depth(functional.glu(self.wide(found.transpose(1, 2)), 1)).transpose(1, 2)
            seen: Tensor = self.seen(found, found, found, need_weights=False)[0]
            return seen

    return Listener(), (torch.rand(1, 50, 40),)


def linear_attention() -> Example:
    class Linearised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Linear(16, 48)

        def forward(self, x: Tensor) -> Tensor:
            query, key, value = self.inside(x).view(1, -1, 3, 4, 4).permute(2, 0, 3, 1, 4)
            state = torch.einsum("bhnd,bhne->bhde", functional.elu(key) + 1, value)
            return torch.einsum("bhnd,bhde->bhne", functional.elu(query) + 1, state)

    return Linearised(), (torch.rand(1, 20, 16),)


def latent() -> Example:
    class Latent(nn.Module):
        """Few learnt queries that look at many inputs."""

        def __init__(self) -> None:
            super().__init__()
            self.queries = nn.Parameter(torch.rand(6, 1, 24))
            self.seen, self.mix = nn.MultiheadAttention(24, 3, kdim=10, vdim=10), nn.Linear(24, 24)

        def forward(self, x: Tensor) -> Tensor:
            mixed: Tensor = self.mix(self.seen(self.queries, x, x, need_weights=False)[0])
            return mixed

    return Latent(), (torch.rand(50, 1, 10),)


def spectral() -> Example:
    class Spectral(nn.Module):
        """A short-time transform as a convolution with fixed waves, then a filter bank."""

        def __init__(self) -> None:
            super().__init__()
            place, wave = torch.arange(32)[None], torch.arange(17)[:, None]
            angles = 2 * torch.pi * place * wave / 32
            self.register_buffer("waves", torch.cat([angles.cos(), angles.sin()])[:, None])
            self.register_buffer("bank", torch.rand(17, 8))

        def forward(self, sound: Tensor) -> Tensor:
            both = functional.conv1d(sound[:, None], self.waves, stride=16)
            power = both[:, :17] ** 2 + both[:, 17:] ** 2
            return torch.log(power.transpose(1, 2) @ self.bank + 1e-6)

    return Spectral(), (torch.rand(1, 320),)


def mixing() -> Example:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.places, self.channels = nn.Linear(16, 16), nn.Linear(12, 12)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.places(x.transpose(1, 2)).transpose(1, 2)
            return x + functional.gelu(self.channels(x), approximate="tanh")

    return Mixer(), (torch.rand(1, 16, 12),)


def forecasting() -> Example:
    class Forecast(nn.Module):
        """Patches of a series, normalised by its own mean, projected to what comes."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Linear(16, 24), nn.Linear(24 * 11, 12)
            self.body = nn.TransformerEncoderLayer(24, 2, 48, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            mean, spread = x.mean(-1, keepdim=True), x.std(-1, keepdim=True) + 1e-5
            parts = ((x - mean) / spread).unfold(1, 16, 8)
            ahead: Tensor = self.out(self.body(self.embed(parts)).flatten(1))
            return ahead * spread + mean

    return Forecast(), (torch.rand(3, 96),)


ARCHITECTURES: dict[str, Callable[[], Example]] = {
    make.__name__: make
    for make in (
        recurrent,
        gated,
        transducing,
        causal_convolutional,
        encoding,
        translating,
        decoding,
        selective,
        expert,
        recommending,
        listening,
        linear_attention,
        latent,
        spectral,
        mixing,
        forecasting,
    )
}
