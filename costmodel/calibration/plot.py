"""Predicted over measured latency as a picture: both axes logarithmic, the diagonal, and the intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from layerweaver.ir.text import figure

__all__ = ["scatter_svg"]

SIDE = 560
MARGIN = 64
INK, LINE, DOT = "#222222", "#999999", "#1f6fb4"


def scatter_svg(document: Mapping[str, Any]) -> str:
    """An SVG of the rows of a ``score`` or ``calibrate`` document; points carry the models' names."""
    rows: Sequence[Mapping[str, Any]] = document["rows"]
    values = [
        row[key] for row in rows for key in ("measured_ms", "predicted_ms", "low_ms", "high_ms") if row[key]
    ]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def place(value: float) -> float:
        return MARGIN + (math.log10(value) - low) / (high - low) * (SIDE - 2 * MARGIN)

    def up(value: float) -> float:
        return SIDE - place(value)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}" '
        f'viewBox="0 0 {SIDE} {SIDE}" font-family="sans-serif" font-size="12" fill="{INK}">',
        f"<title>{escape(str(document['npu']))}: predicted over measured latency</title>",
        f'<rect width="{SIDE}" height="{SIDE}" fill="#ffffff"/>',
    ]
    for power in range(low, high + 1):
        at = place(10.0**power)
        label = f"{10.0**power:g}"
        parts += [
            _line((at, MARGIN), (at, SIDE - MARGIN), LINE, 0.4),
            _line((MARGIN, SIDE - at), (SIDE - MARGIN, SIDE - at), LINE, 0.4),
            f'<text x="{at:.1f}" y="{SIDE - MARGIN + 18}" text-anchor="middle">{label}</text>',
            f'<text x="{MARGIN - 8}" y="{SIDE - at + 4:.1f}" text-anchor="end">{label}</text>',
        ]
    ends = 10.0**low, 10.0**high
    parts.append(_line((place(ends[0]), up(ends[0])), (place(ends[1]), up(ends[1])), INK, 1.0))
    for row in rows:
        x, y = place(row["measured_ms"]), up(row["predicted_ms"])
        if row["low_ms"] is not None:
            parts.append(_line((x, up(row["low_ms"])), (x, up(row["high_ms"])), DOT, 1.0))
        name = escape(
            f"{row['model']}, batch {row['batch']}: {figure(row['measured_ms'], 4)} ms measured, "
            f"{figure(row['predicted_ms'], 4)} predicted"
        )
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{DOT}"><title>{name}</title></circle>')
    middle = SIDE / 2
    parts += [
        f'<text x="{middle}" y="{MARGIN / 2}" text-anchor="middle" font-size="14">'
        f"{escape(str(document['npu']))}: {document['mape']:.1%} off on average</text>",
        f'<text x="{middle}" y="{SIDE - 16}" text-anchor="middle">measured, ms per image</text>',
        f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">'
        "predicted, ms per image</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(begin: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> str:
    (x1, y1), (x2, y2) = begin, end
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"/>'
    )
