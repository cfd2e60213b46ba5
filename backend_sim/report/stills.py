"""Pictures for papers and pages without a browser: SVG and PNG by matplotlib, the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from layerweaver.ir.elsewhere import import_elsewhere

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["drawing", "picture"]


@contextmanager
def drawing(width_in: float, height_in: float) -> Iterator[Figure]:
    """An empty figure, with text that stays text."""
    mpl = import_elsewhere("matplotlib")  # an optional extra
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "layerweaver", "font.size": 10}):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def picture(figure: Figure, kind: str) -> bytes:
    """A figure as ``svg`` or ``png``, without date and version."""
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(stream, format=kind, dpi=144, metadata=metadata)
    return stream.getvalue()
