"""The page of a study: its Pareto front, what every axis does, and all points, all of it to be chosen from.

The points travel in the page as one compressed document; ``study.js`` draws from it what is asked for.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, NotRequired, TypedDict

from layerweaver.backend_sim.report.shell import packed, page_html
from layerweaver.backend_sim.results.told_by_points import counted_lines
from layerweaver.ir.text import counted, printable

__all__ = ["MOST_CELLS", "MOST_POINTS", "StudyPoints", "build_study_page"]

MOST_POINTS = 20_000
"""A page of more points would be slow: it has the whole front and every so many-th of the others."""

MOST_CELLS = 1_500_000
"""And of more cells, large: it leaves metrics out that are neither axis nor objective."""

_DIGITS = 6
_SAID = ("warnings", "notes", "reasons")
_MOST_NOTES = 20
_FOOTER = (
    "Every point is in points.csv. Drag in a chart to zoom, double-click to zoom out; drag along an axis of "
    "the parallel coordinates to keep only what lies there."
)


@dataclass(frozen=True, eq=False)
class StudyPoints:
    """What a page shows of a study.

    Attributes:
        columns: Names of the columns; the first is the point's number, the last why it failed.
        rows: Cells of the points shown.
        axes: Names of the axes.
        maximise: Columns that shall be large.
        minimise: Columns that shall be small.
        front: Numbers of the points on the Pareto front.
        sensitivity: ``axis``, ``objective``, ``effect`` and, over seeds, ``low`` and ``high``; where the
            effect is None, ``note`` says why.
        total: Points that the study has.
        known: Those that were run.
        failed: Those of them that failed.
    """

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]
    axes: Sequence[str]
    maximise: Sequence[str]
    minimise: Sequence[str]
    front: Sequence[int]
    sensitivity: Sequence[Mapping[str, Any]]
    total: int
    known: int
    failed: int


class _ColumnDocument(TypedDict):
    name: str
    role: Literal["axis", "metric"]
    words: NotRequired[list[str]]
    values: list[Any]


class _StudyDocument(TypedDict):
    """What the page's script reads; points by their place."""

    columns: list[_ColumnDocument]
    aims: dict[str, Literal["large", "small"]]
    front: list[int]
    sensitivity: list[dict[str, object]]


@dataclass(slots=True)
class _Column:
    """One column as the page has it: numbers as they are, anything else as words and their numbers."""

    name: str
    values: list[Any] = field(default_factory=list)
    is_number: bool = True

    def add(self, value: Any) -> None:
        if isinstance(value, float):
            value = float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
            value = int(value) if value is not None and value.is_integer() and abs(value) < 2**53 else value
        elif isinstance(value, bool) or not (value is None or isinstance(value, int)):
            value, self.is_number = printable(str(value)), False
        self.values.append(value)

    def document(self, role: Literal["axis", "metric"]) -> _ColumnDocument:
        """Its JSON."""
        if self.is_number:
            return {"name": printable(self.name), "role": role, "values": self.values}
        words: dict[str, int] = {}
        codes = [None if value is None else words.setdefault(str(value), len(words)) for value in self.values]
        return {"name": printable(self.name), "role": role, "words": list(words), "values": codes}


def _shown_columns(study: StudyPoints, points: int) -> list[int]:
    """Places of the columns that the page has, in order."""
    wanted = {*study.axes, *study.maximise, *study.minimise, study.columns[0], study.columns[-1]}
    room = MOST_CELLS // max(1, points) - sum(name in wanted for name in study.columns)
    places = []
    for place, name in enumerate(study.columns):
        room -= name not in wanted
        if name in wanted or room >= 0:
            places.append(place)
    return places


def _document(study: StudyPoints, rows: Sequence[Sequence[Any]], places: Sequence[int]) -> _StudyDocument:
    columns = [_Column(study.columns[place]) for place in places]
    for row in rows:
        for column, place in zip(columns, places, strict=True):
            column.add(row[place])
    on_front = set(study.front)
    aims: dict[str, Literal["large", "small"]] = {printable(name): "large" for name in study.maximise}
    aims.update({printable(name): "small" for name in study.minimise})
    return {
        "columns": [column.document("axis" if column.name in study.axes else "metric") for column in columns],
        "aims": aims,
        "front": [place for place, row in enumerate(rows) if row[0] in on_front],
        "sensitivity": [
            {**item, "axis": printable(str(item["axis"])), "objective": printable(str(item["objective"]))}
            for item in study.sensitivity
        ],
    }


def _lead(study: StudyPoints, rows: Sequence[Sequence[Any]], left_out: int) -> str:
    shown = len(rows)
    said = counted(study.total, "point")
    if study.known < study.total:
        said += f", {study.known:,} of them run so far"
    said += f"; {study.failed:,} failed." if study.failed else "."
    if study.front:
        said += f" {len(study.front):,} {'is' if len(study.front) == 1 else 'are'} on the Pareto front."
    for item in [item for item in study.sensitivity[:1] if item["effect"]]:
        said += f" What matters most is {item['axis']}: {item['effect']:.0%} of the variance of "
        said += f"{item['objective']}."
    short = study.columns.index("status") if "status" in study.columns else None
    if short is not None and (unsure := sum(row[short] == "too_short" for row in rows)):
        said += f" Trials were too short to be sure of the peak: {counted(unsure, 'point')}."
    if shown < study.known:
        said += f" The page shows {shown:,} of them: the front and evenly spaced others."
    if left_out:
        said += f" It leaves {left_out:,} metrics out."
    return printable(said)


def _choice(name: str, label: str) -> str:
    return f'<label>{escape(label)} <select id="{name}"></select></label>'


def _tick(name: str, label: str) -> str:
    return f'<label><input type="checkbox" id="{name}"> {escape(label)}</label>'


def _figure(key: str, reading: str, tools: str, height: int) -> str:
    said = escape(reading)
    return (
        f'<figure class="chart" aria-labelledby="{key}"><figcaption><p>{said}</p></figcaption>'
        f'<div class="tools choices" role="group" aria-label="What is shown">{tools}</div>'
        f'<div class="plot" id="plot-{key}" role="img" aria-label="{said}" style="height:{height}px"></div>'
        "</figure>"
    )


def _noted(study: StudyPoints, rows: Sequence[Sequence[Any]]) -> list[str]:
    """What the numbers of points do not explain, and of how many of them it is said; most of them first."""
    measured = [row for row in rows if not row[-1]]
    found: Counter[str] = Counter()
    for place, name in enumerate(study.columns):
        if name in _SAID:
            found.update(dict(counted_lines((row[place] for row in measured), study.axes)))
    lines = [f"{counted(many, 'point')}: {printable(note)}" for note, many in found.most_common(_MOST_NOTES)]
    if (more := len(found) - _MOST_NOTES) > 0:
        lines.append(f"{more:,} more stand in the columns {' and '.join(_SAID)}")
    return lines


def _sections(study: StudyPoints, rows: Sequence[Sequence[Any]]) -> list[tuple[str, str, str]]:
    sections = [
        (
            "front",
            "Trade-offs",
            _figure(
                "front",
                "Every point by two columns. Diamonds are on the Pareto front of all objectives; the line "
                "joins those that no other point beats in the two columns shown.",
                _choice("front-x", "across")
                + _tick("front-x-log", "logarithmic")
                + _choice("front-y", "up")
                + _tick("front-y-log", "logarithmic")
                + _choice("front-colour", "colour"),
                520,
            ),
        )
    ]
    if study.sensitivity:
        over_seeds = any("low" in item for item in study.sensitivity)
        reading = (
            "Share of the objective's variance over all points that lies between the values of an axis"
            f"{'; the lines are 95% intervals over the seeds.' if over_seeds else '.'}"
        )
        tools = _choice("effects-objective", "objective")
        height = 150 + 34 * len(study.axes)
        sections.append(("effects", "What matters", _figure("effects", reading, tools, min(height, 700))))
    if len(study.axes) > 1:
        reading = (
            "The mean of a metric over all points that have the two values; long axes are taken in bins."
        )
        tools = _choice("map-x", "across") + _choice("map-y", "up") + _choice("map-value", "metric")
        sections.append(("map", "Two axes", _figure("map", reading, tools, 480)))
    reading = "Every line is a point. Drag along an axis to keep only the points that lie there."
    sections.append(
        ("parallel", "All axes", _figure("parallel", reading, _choice("parallel-colour", "colour"), 460))
    )
    if noted := _noted(study, rows):
        items = "".join(f"<li>{escape(line)}</li>" for line in noted)
        sections.append(("notes", "What the points note", f'<ul class="muted">{items}</ul>'))
    table = (
        '<p class="muted">A filter is a part of the text, or for numbers a comparison such as &lt;20, &gt;=3 '
        "or 5..10. A click on a heading sorts.</p>"
        f'<div class="tools choices">{_tick("table-front", "only the Pareto front")}'
        '<span id="table-count" role="status"></span></div>'
        '<details><summary>Columns</summary><div class="choices columns" id="table-columns"></div></details>'
        '<div class="scroll tall" tabindex="0" role="region" aria-label="Points">'
        '<table id="points"></table></div>'
        '<div class="tools"><button type="button" id="table-back">Earlier</button>'
        '<button type="button" id="table-on">Later</button></div>'
    )
    sections.append(("table", "Points", table))
    return sections


def build_study_page(study: StudyPoints, *, title: str = "A study") -> str:
    """Build the page of a study.

    Args:
        study: What it shows.
        title: Heading of the page.

    Returns:
        The HTML text, which asks the network for nothing.
    """
    rows = list(study.rows)
    places = _shown_columns(study, len(rows))
    text = json.dumps(
        _document(study, rows, places), separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return page_html(
        title,
        _lead(study, rows, len(study.columns) - len(places)),
        _sections(study, rows),
        _FOOTER,
        scripts=("study.js",),
        data={"study": packed(text)},
        compiles=True,
    )
