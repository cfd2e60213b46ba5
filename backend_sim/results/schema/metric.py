"""What a metric is: its key, heading and form, where it is shown, and what exactly it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import NotRequired, TypeAlias, get_args, get_origin, get_type_hints

from layerweaver.ir.text import figure

__all__ = ["Form", "Metric", "Said", "Shown", "Value", "metrics_of", "shown"]

Value: TypeAlias = str | int | float | None


class Shown(Flag):
    """Where a metric stands beside JSON and CSV, which have all."""

    NOWHERE = 0
    TERMINAL = auto()
    PAGE = auto()
    FRAME = auto()
    SPREAD = auto()
    """With ``--seeds``: mean, deviation and 95% interval over the repetitions."""


class Form(Enum):
    """How people read a value."""

    TEXT = auto()
    COUNT = auto()
    NUMBER = auto()
    RATIO = auto()
    SHARE = auto()


@dataclass(frozen=True, slots=True)
class Said:
    """What a result's type says of one of its keys: it is a metric.

    Attributes:
        heading: What tables call it, unit included.
        form: How its value is written.
        shown: Where it is shown.
        definition: What exactly it is.
        part: Of a mapping, the key within it.
    """

    heading: str
    form: Form
    shown: Shown
    definition: str
    part: str = ""


def metrics_of(document: type, prefix: str = "") -> tuple[Metric, ...]:
    """The metrics that a type declares with :class:`Said`, in its order; their keys begin with a prefix."""
    found = []
    for key, kind in get_type_hints(document, include_extras=True).items():
        bare = get_args(kind)[0] if get_origin(kind) is NotRequired else kind
        for said in getattr(bare, "__metadata__", ()):
            if isinstance(said, Said):
                place = f"{prefix}{key}.{said.part}" if said.part else f"{prefix}{key}"
                found.append(Metric(place, said.heading, said.form, said.shown, said.definition))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        key: Its place in the document, dots between nested keys.
        heading: What tables call it, unit included.
        form: How its value is written.
        shown: Where it is shown.
        definition: What exactly it is.
    """

    key: str
    heading: str
    form: Form
    shown: Shown
    definition: str

    @property
    def column(self) -> str:
        """Its column in a data frame."""
        group, _, last = self.key.rpartition(".")
        if group == "latency_ms":
            return f"{last}_ms"
        kind = group.rpartition(".")[2] if "." in group else ""
        if kind.endswith("_ms"):
            return f"{kind[:-3]}_{last}_ms"
        return f"{kind}_{last}" if kind else last

    def _at(self, found: object) -> object:
        for part in self.key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def of(self, document: Mapping[str, object]) -> Value:
        """Its value; None where the document has none."""
        found = self._at(document)
        if isinstance(found, (list, tuple)):
            return "; ".join(map(str, found)) or None
        return found if isinstance(found, (str, int, float)) else None

    def cells(self, document: Mapping[str, object]) -> Iterator[tuple[str, Value]]:
        """Its columns in a CSV: one, or of a mapping one per entry."""
        found = document.get(self.key)
        if isinstance(found, Mapping):
            yield from ((f"{self.key}.{name}", value) for name, value in found.items())
        elif self.key.split(".")[0] in document:
            yield self.key, self.of(document)

    def interval(self, spread: Mapping[str, object]) -> tuple[float, float] | tuple[None, None]:
        """Its 95% interval in a run's ``confidence``."""
        found = self._at(spread)
        return (found["low"], found["high"]) if isinstance(found, Mapping) else (None, None)

    def mean(self, spread: Mapping[str, object]) -> float | None:
        """Its mean over the repetitions in a run's ``confidence``; None if too few have one."""
        found = self._at(spread)
        return found["mean"] if isinstance(found, Mapping) else None

    def values(self, spread: Mapping[str, object]) -> list[float | None]:
        """Its value in every repetition, in a run's ``confidence``."""
        found = self._at(spread)
        return found["values"] if isinstance(found, Mapping) else []

    def text(self, value: Value) -> str:
        """A value in few characters: three or four digits, a dash for nothing."""
        if value is None:
            return "-"
        if isinstance(value, str) or self.form is Form.TEXT:
            return str(value).replace("_", " ")
        if self.form is Form.COUNT:
            return f"{value:,}"
        if self.form is Form.SHARE:
            return f"{value:.1%}" if abs(value) >= 0.0995 or value == 0 else f"{value:.2%}"
        if self.form is Form.RATIO:
            return f"{value:#.3g}" if abs(value) < 99.95 else f"{value:,.0f}"
        return figure(value)


def shown(metrics: Sequence[Metric], where: Shown) -> tuple[Metric, ...]:
    """Those of some metrics that stand in a place, or in all of several."""
    return tuple(metric for metric in metrics if where in metric.shown)
