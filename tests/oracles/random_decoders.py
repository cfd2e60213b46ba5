"""Rows of decoders that nobody built: what tests draw at random."""

from __future__ import annotations

import random

import numpy as np

from layerweaver.ir import LayerKind
from layerweaver.scheduler.iterations.rows import (
    FEATURES,
    AttentionRow,
    IterationRow,
    IterationRows,
    RowLabel,
    Term,
)

__all__ = ["random_rows"]


def _term(rng: random.Random, most: int, places: tuple[int, ...], unit: int) -> Term:
    values = [0] * FEATURES
    for place in places:
        values[place] = rng.randint(1, most)
    return Term(tuple(values), unit)


def _row(rng: random.Random) -> IterationRow:
    kind = rng.choice(["tokens", "tokens", "attention", "", "sequences"])
    attention = None
    if kind == "attention":
        heads, width = rng.randint(1, 8), rng.choice([8, 64])
        attention = AttentionRow(heads, (0, 1, 0), (0, 1, 1), (width, 0, 0))
    weights: tuple[tuple[int, int], ...] = ()
    n, k = rng.choice([16, 64, 700]), rng.choice([16, 64, 900])
    if kind in ("tokens", "sequences"):
        weights = ((n * k * rng.randint(1, 3), 16),)
    cached = kind == "attention"
    window = rng.choice([0, 0, 3, 8, 40]) if cached else 0
    return IterationRow(
        by=kind,
        n=n if weights else 0,
        k=k if weights else 0,
        m=1 if weights else 0,
        groups=1 if weights else 0,
        steps=1 if weights or cached else 0,
        attention=attention,
        vector=(_term(rng, 300, (6,), 0),) if rng.random() < 0.5 else (),
        gathers=(_term(rng, 50, (6,), 16),) if rng.random() < 0.2 else (),
        reads=(_term(rng, 64, (7,), 16),) if cached else (),
        writes=(_term(rng, 64, (6,), 16),) if cached else (),
        inputs=(_term(rng, 200, (6,), 16),),
        outputs=(_term(rng, 200, (6,), 16),),
        entering=(),
        leaving=(),
        weights=weights,
        live=(_term(rng, 4000, (6,), 0), _term(rng, 300, (6,), 0)),
        joined=tuple(
            tuple(_term(rng, 90, (rng.choice([5, 6, 7]), 6), 0) for _ in range(rng.randint(1, 3)))
            for _ in range(rng.choice([0, 0, 1, 2]))
        ),
        window=window,
        seen=(_nothing(), _nothing()) if window else None,
    )


def _nothing() -> Term:
    return Term((0,) * FEATURES, 0)


def random_rows(rng: random.Random) -> IterationRows:
    pairs = tuple((row, row) for row in (_row(rng) for _ in range(rng.randint(1, 5))))
    before, block, after = ([rng.randrange(len(pairs)) for _ in range(rng.randint(1, 5))] for _ in range(3))
    index = np.array(before + block * rng.choice([0, 1, 2, 9, 40]) + after, np.int64)
    operators = [(rng.choice(["Add", "Mul"]),) * len(pairs[place][0].vector) for place in index]
    labels = tuple(RowLabel(LayerKind.MATRIX, "", names, names) for names in operators)
    names = tuple(map(str, range(len(index))))
    return IterationRows("random", names, pairs, index, ((1000, 16),), 64, labels=labels)
