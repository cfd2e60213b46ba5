"""What a search for peak rates says beside its table."""

from __future__ import annotations

from layerweaver.backend_sim.results.options import options_of_peaks
from layerweaver.backend_sim.results.schema.peak import Peak
from layerweaver.ir.text import figure

__all__ = ["peak_notes", "rate", "span"]


def rate(qps: float | None) -> str:
    """Requests per second, in full."""
    return "-" if qps is None else figure(qps, 4)


def span(low: float | None, high: float | None) -> str:
    """A range of rates."""
    if low is None and high is None:
        return "-"
    return " .. ".join(rate(edge) for edge in (low, high))


def peak_notes(document: Peak) -> list[str]:
    """What a table of peak rates does not say: where passing is not monotone in the load, what is missing."""
    notes = [*document.get("warnings", []), *options_of_peaks(document)]
    notes += [
        f"{item['policy']} less {item['against']}, seed by seed: {rate(found['mean'])} q/s, 95% interval "
        f"{span(found['low'], found['high'])}"
        for item in document.get("differences", [])
        if (found := item["peak_qps"]) is not None
    ]
    if needed := max((row.get("needed_queries", 0) for row in document["results"]), default=0):
        notes.append(f"give --queries {needed} or more to be sure of what is too short")
    notes += [
        f"{row['policy']}: not monotone: a load below {rate(row['peak_qps'])} q/s failed too; "
        "trial_points of --json has every load tried"
        for row in document["results"]
        if not row.get("monotone", True)
    ]
    notes += document.get("notes", [])
    if document.get("interrupted"):
        notes.append("interrupted: brackets are as wide as they were then, and later policies are missing")
    return notes
