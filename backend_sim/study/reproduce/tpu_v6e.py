"""Reproduce attention and weight rows of Llama-3.1-8B timed on one TPU v6e, or fit their forms again.

Attention takes the form in which language models are known by timings: chunked prefill
``a + b q + c p + d q p + e q^2`` over new tokens q and cached tokens p, decode ``a + b B + c B p`` over
sequences B. A weight row is a line over its tokens in each of five ranges, since the compiler tiles short and
long inputs differently. The shipped parameters were fitted to 4,203 attention shapes and 6,013 weight rows
(casys-kaist/LLMServingSim at 5daddb2, MIT).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.results.reproduced import TpuTokens
from layerweaver.ir import ConfigError
from layerweaver.ir.csv_table import CsvTable
from layerweaver.ir.text import counted

__all__ = ["fit_forms", "predict_ns", "read_times", "reproduce_tpu_v6e"]

MAX_ROWS = 200_000
MAX_FILE_BYTES = 64 << 20
MAX_EXTENT = 1 << 24
ATTENTION = ("prefill_chunk_size", "kv_cache_size", "batch_size", "is_prefill", "mean_ns")
LAYERS = ("layer_name", "input", "latency(ns)")
WEIGHT_ROWS = (
    "q_proj",
    "k_proj",
    "v_proj",
    "qkv_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "lm_head",
)
SAME_WEIGHTS = {"gate_proj": "up_proj", "up_proj": "gate_proj", "k_proj": "v_proj", "v_proj": "k_proj"}
RANGES = (0, 128, 256, 512, 1024, MAX_EXTENT)
"""Ends of the ranges of tokens in which a weight row is one line."""
ROUNDS = 40
FEWEST = 8

FloatArray = NDArray[np.float64]
Times = dict[str, tuple[FloatArray, FloatArray]]
"""Form to its terms, shape (rows, terms), and times in nanoseconds, shape (rows,)."""
Forms = Mapping[str, Sequence[float]]


def read_times(path: Path) -> Times:
    """Read ``attention.csv`` or ``layers.csv``; which one it is, its columns say.

    Of layers only those that multiply by weights are taken.

    Raises:
        ConfigError: If the file cannot be read, has neither set of columns, or a value out of range.
    """
    accepted = f"columns {','.join(ATTENTION)}, or {','.join(LAYERS)}"
    table = CsvTable(path, ConfigError, accepted=accepted, most_bytes=MAX_FILE_BYTES, most_rows=MAX_ROWS)
    kind = next((kind for kind in (ATTENTION, LAYERS) if set(kind) <= set(table.header)), None)
    if kind is None:
        raise ConfigError("has neither set of columns", where=table.where, accepted=accepted)
    table.require(kind)
    rows: dict[str, list[tuple[list[float], float]]] = {}
    for where, row in table.rows():
        form, terms, time = (_attention if kind is ATTENTION else _layer)(row, where)
        if form:
            rows.setdefault(form, []).append((terms, time))
    if not rows:
        raise ConfigError("has no rows", where=str(path), accepted=accepted)
    return {
        form: (np.array([terms for terms, _ in timed]), np.array([time for _, time in timed]))
        for form, timed in rows.items()
    }


def _number(row: Mapping[str, str], name: str, where: str, least: float) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not least <= value <= 1e15:
        raise ConfigError(
            f"{row[name][:40]!r} is not accepted",
            where=f"{where}: {name}",
            accepted=f"a number from {least:g}",
        )
    return value


def _attention(row: Mapping[str, str], where: str) -> tuple[str, list[float], float]:
    new, cached = (_number(row, name, where, 0) for name in ATTENTION[:2])
    sequences, time = _number(row, "batch_size", where, 1), _number(row, "mean_ns", where, 1e-3)
    told = row["is_prefill"].lower()
    if told not in ("true", "false"):
        raise ConfigError(
            f"{told[:40]!r} is not accepted", where=f"{where}: is_prefill", accepted="True or False"
        )
    if told == "true":
        return "prefill", [1.0, new, cached, new * cached, new * new], time
    return "decode", [1.0, sequences, sequences * cached], time


def _layer(row: Mapping[str, str], where: str) -> tuple[str, list[float], float]:
    name = row["layer_name"]
    if name not in WEIGHT_ROWS:
        return "", [], 0.0
    tokens, time = _number(row, "input", where, 1), _number(row, "latency(ns)", where, 1e-3)
    end = next((end for end in RANGES[1:] if tokens <= end), RANGES[-1])
    return f"{name} to {end}" if end < MAX_EXTENT else f"{name} beyond", [1.0, tokens], time


def fit_forms(times: Times) -> dict[str, list[float]]:
    """Coefficients of least absolute relative error, none negative, by reweighted least squares."""
    from scipy.optimize import nnls  # noqa: PLC0415 - loads on first use

    fitted = {}
    for form, (terms, measured) in sorted(times.items()):
        relative = terms / measured[:, None]
        size = np.maximum(relative.max(axis=0), 1e-300)
        weights = np.ones(len(measured))
        coefficients = np.zeros(terms.shape[1])
        for _ in range(ROUNDS):
            coefficients, _ = nnls(relative / size * weights[:, None], weights)
            errors = np.abs(relative / size @ coefficients - 1)
            weights = 1 / np.sqrt(np.maximum(errors, 0.003))
        fitted[form] = [float(f"{value:.6g}") for value in (coefficients / size).tolist()]
    return fitted


def predict_ns(forms: Forms, times: Times) -> Times:
    """Predicted beside measured times of every form that has parameters, in nanoseconds.

    A weight row that was never timed in a range takes the line of a row of the same weights, else the next
    range of its own.
    """
    found: Times = {}
    for form, (terms, measured) in times.items():
        stand_in = next((name for name in _stand_ins(form) if name in forms), None)
        if stand_in is not None:
            found[form] = terms @ np.array(forms[stand_in]), measured
    return found


def _stand_ins(form: str) -> list[str]:
    """The form itself, and what may stand in for it, best first."""
    name, _, place = form.partition(" ")
    ends = [f"to {end}" for end in RANGES[1:-1]] + ["beyond"]
    if place not in ends:
        return [form]
    at = ends.index(place)
    near = sorted(range(len(ends)), key=lambda index: (abs(index - at), index))
    return [form, f"{SAME_WEIGHTS.get(name, name)} {place}", *(f"{name} {ends[index]}" for index in near)]


def _mape(forms: Forms, times: Times) -> float:
    pairs = list(predict_ns(forms, times).values())
    if not pairs:
        raise ConfigError("has no row whose times are known", accepted=", ".join(sorted(forms)))
    errors = np.concatenate([np.abs(predicted / measured - 1) for predicted, measured in pairs])
    return float(errors.mean())


def _halves(times: Times, seed: int) -> tuple[Times, Times]:
    random = np.random.default_rng(seed)
    one, other = {}, {}
    for form, (terms, measured) in sorted(times.items()):
        order = random.permutation(len(measured))
        middle = (len(order) + 1) // 2
        one[form] = terms[order[:middle]], measured[order[:middle]]
        if middle < len(order):
            other[form] = terms[order[middle:]], measured[order[middle:]]
    return one, other


def reproduce_tpu_v6e(csv: Path, *, fit: bool = False, seed: int = 0) -> TpuTokens:
    """Compare predicted with measured times of attention or of weight rows.

    Args:
        csv: ``attention.csv`` (columns prefill_chunk_size, kv_cache_size, batch_size, is_prefill, mean_ns) or
            ``layers.csv`` (layer_name, input, latency(ns)).
        fit: Fit on a seeded half of the rows and report on the other, too.
        seed: Seed of the split.

    Returns:
        ``count`` and ``mape`` of the shipped parameters; with ``fit`` also ``mape_fit``, ``mape_held_out``
        and the ``parameters`` by form. Errors are fractions.

    Raises:
        ConfigError: If the file is wrong, or has fewer than 8 rows to fit.
    """
    times = read_times(Path(csv))
    count = sum(len(measured) for _, measured in times.values())
    document: TpuTokens = {"count": count, "mape": _mape(_shipped(), times)}
    if not fit:
        return document
    one, other = _halves(times, seed)
    if count < FEWEST or not other:
        raise ConfigError(
            f"has {counted(count, 'row')}",
            where=str(csv),
            accepted=f"give at least {FEWEST} to fit, or leave out --fit",
        )
    forms = fit_forms(one)
    return {
        **document,
        "mape_fit": _mape(forms, one),
        "mape_held_out": _mape(forms, other),
        "parameters": forms,
    }


def _shipped() -> dict[str, list[float]]:
    file = resources.files("layerweaver.backend_sim.study.reproduce.data").joinpath("tpu_v6e_llama31_8b.json")
    forms: dict[str, list[float]] = json.loads(file.read_text(encoding="utf-8"))
    return forms
