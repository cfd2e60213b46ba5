"""How long the requests of a language model are: tokens of the prompt and of the output."""

from __future__ import annotations

import csv
import io
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from layerweaver.backend_sim.traffic.sample_order import MAX_SAMPLES, issued_samples
from layerweaver.ir import TrafficError
from layerweaver.ir.csv_table import COMMAS, beyond_header, other_marks
from layerweaver.ir.csv_text import RowLines
from layerweaver.ir.documents import Number, Seed, whole
from layerweaver.ir.files import open_file
from layerweaver.ir.sections import Section, refusal

__all__ = ["MAX_TOKENS", "LengthsSpec", "Pairs", "read_pairs", "token_count", "token_mistake"]

MAX_TOKENS = 10_000_000
"""Longest prompt or output that is accepted."""

IntArray = NDArray[np.int64]


class Lognormal(Section):
    """Lengths with a lognormal distribution, rounded to whole tokens."""

    mean: Number
    cv: Number = 1.0
    most: Annotated[int, whole(1, MAX_TOKENS)] = 131_072

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 1 <= self.mean <= MAX_TOKENS:
            raise refusal(f"a mean of {self.mean:g} tokens is not accepted; give 1 to {MAX_TOKENS:,}", "mean")
        if not 0 <= self.cv <= 100:
            raise refusal(f"a coefficient of variation of {self.cv:g} is not accepted; give 0 to 100", "cv")
        if self.mean > self.most:
            raise refusal(
                f"a mean of {self.mean:g} tokens is above most, {self.most}; "
                "give a smaller mean or a larger most",
                "mean",
            )
        return self

    def draw(self, generator: np.random.Generator, count: int) -> IntArray:
        """So many lengths, at least 1 and at most ``most``."""
        variance = float(np.log1p(self.cv**2))
        drawn = np.exp(
            np.log(self.mean) - variance / 2 + np.sqrt(variance) * generator.standard_normal(count)
        )
        whole: IntArray = np.clip(np.rint(drawn), 1, self.most).astype(np.int64)
        return whole


def _length(value: Any) -> Any:
    if isinstance(value, dict):
        inner = value.get("lognormal", value) if set(value) == {"lognormal"} else value
        return Lognormal.model_validate(inner)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    whole_number = isinstance(value, int) and not isinstance(value, bool)
    if not whole_number or not 1 <= value <= MAX_TOKENS:
        what = "too large" if whole_number and value > 0 else "not a number of tokens"
        raise refusal(
            f"{str(value)[:40]!r} is {what}; give 1 to {MAX_TOKENS:,}, or {{lognormal: {{mean: 512, cv: 1}}}}"
        )
    return value


LengthSpec = Annotated[int | Lognormal, BeforeValidator(_length)]


class LengthsSpec(Section):
    """Where lengths come from: numbers, a distribution, the trace itself, or a file of pairs."""

    prompt: LengthSpec | None = None
    output: LengthSpec | None = None
    seed: Seed = 0
    source: Annotated[Literal["trace"] | None, Field(alias="from")] = None
    file: str | None = None
    order: Literal["file", "loadgen"] = "file"
    qsl_seed: Seed | None = None
    sample_seed: Seed | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        stated = self.prompt is not None or self.output is not None
        if stated + (self.source is not None) + (self.file is not None) != 1:
            raise refusal("give prompt and output, or from: trace, or file")
        if stated and (self.prompt is None or self.output is None):
            raise refusal("give both prompt and output", "prompt" if self.prompt is None else "output")
        if self.order == "loadgen":
            if self.file is None:
                raise refusal("LoadGen's order is of a file of pairs; give file", "order")
            for key in ("qsl_seed", "sample_seed"):
                if getattr(self, key) is None:
                    raise refusal("LoadGen's order needs both seeds; give qsl_seed and sample_seed", key)
        elif self.qsl_seed is not None or self.sample_seed is not None:
            raise refusal("seeds of LoadGen need order: loadgen", "qsl_seed")
        return self

    @property
    def fixed(self) -> bool:
        """Whether lengths are drawn from what is stated here."""
        return self.prompt is not None

    def draw(self, count: int, seed: int) -> Pairs:
        """So many stated lengths; ``seed`` separates repetitions."""
        generator = np.random.Generator(np.random.PCG64([self.seed, seed]))
        drawn = [
            np.full(count, spec, np.int64) if isinstance(spec, int) else spec.draw(generator, count)
            for spec in (self.prompt, self.output)
            if spec is not None
        ]
        return Pairs(drawn[0], drawn[1])


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Lengths of requests.

    Attributes:
        prompt: Tokens of the prompts, shape (requests,).
        output: Tokens of the outputs.
    """

    prompt: IntArray
    output: IntArray

    def in_file_order(self, count: int) -> Pairs:
        """The first ``count``, beginning again when they are used up."""
        places = np.arange(count) % len(self.prompt)
        return Pairs(self.prompt[places], self.output[places])

    def in_loadgen_order(self, count: int, min_query_count: int, qsl_seed: int, sample_seed: int) -> Pairs:
        """The first ``count`` in the order in which LoadGen issues them."""
        places = issued_samples(
            len(self.prompt),
            count,
            min_query_count=min_query_count,
            qsl_seed=qsl_seed,
            sample_seed=sample_seed,
        )
        return Pairs(self.prompt[places], self.output[places])


_MOST_DIGITS = 9
"""So many digits of a longer number of tokens tell that it is beyond the limit."""


def token_count(text: str) -> int | None:
    """A number of tokens as text, of those beyond the limit the first; None if it is none."""
    text = text.strip().removesuffix(".0")
    if not text.isascii() or not text.isdigit():
        return None
    if len(text) > _MOST_DIGITS:
        text = text.lstrip("0")[:_MOST_DIGITS] or "0"
    return min(int(text), MAX_TOKENS + 1)


def token_mistake(text: str) -> tuple[str, str] | None:
    """What is wrong with the length of a prompt or an output, and what is accepted; None if nothing is."""
    count = token_count(text)
    if count and count <= MAX_TOKENS:
        return None
    shown, accepted = repr(text.strip()[:40]), f"give 1 to {MAX_TOKENS:,}"
    if not text.strip():
        return "has no number of tokens", accepted
    return f"{shown} is too large" if count else f"{shown} is not a number of tokens of 1 or more", accepted


def read_pairs(path: Path) -> Pairs:
    """Read a file with the columns ``prompt`` and ``output``.

    Raises:
        TrafficError: With the line of what is wrong.
    """

    def too_long(line: int) -> TrafficError:
        return TrafficError(
            "the row is longer than 1 MiB", where=f"{path}:{line}", accepted="give prompt,output"
        )

    prompts, outputs = array("q"), array("q")
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", errors="replace", newline="") as stream:
            lines = RowLines(stream, too_long)
            reader = csv.reader(lines)
            names = [name.strip() for name in next(reader, [])]
            if marks := other_marks(names):
                raise TrafficError(marks, where=f"{path}:1", accepted=f"{COMMAS}; give prompt,output")
            for column in ("prompt", "output"):
                if names.count(column) != 1:
                    raise TrafficError(
                        "the column appears twice" if column in names else "the column is missing",
                        where=f"{path}:1, column {column!r}",
                        accepted="give prompt,output",
                    )
            places = names.index("prompt"), names.index("output")
            for fields in reader:
                lines.row_ended()
                if not fields:
                    continue
                if extra := beyond_header(names, fields):
                    raise TrafficError(extra, where=f"{path}:{reader.line_num}", accepted=f"give {COMMAS}")
                counts = [fields[place] if place < len(fields) else "" for place in places]
                for column, count in zip(("prompt", "output"), counts, strict=True):
                    if wrong := token_mistake(count):
                        where = f"{path}:{reader.line_num}, column {column!r}"
                        raise TrafficError(wrong[0], where=where, accepted=wrong[1])
                prompts.append(token_count(counts[0]) or 0)
                outputs.append(token_count(counts[1]) or 0)
                if len(prompts) > MAX_SAMPLES:
                    raise TrafficError(
                        f"more than {MAX_SAMPLES} pairs", where=str(path), accepted="split the file"
                    )
    except OSError as failure:
        raise TrafficError(
            f"cannot be read ({failure.strerror})", where=str(path), accepted="give a file of pairs"
        ) from None
    except csv.Error as failure:
        raise TrafficError(
            f"is not CSV ({failure})", where=str(path), accepted="give prompt,output"
        ) from None
    if not prompts:
        raise TrafficError("there is no pair", where=str(path), accepted="give prompt,output")
    return Pairs(np.array(prompts, np.int64), np.array(outputs, np.int64))
