"""The page of metrics says what the schema says."""

from __future__ import annotations

from pathlib import Path

from layerweaver.backend_sim.results.metrics import metrics_page

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_of_metrics_is_the_schema() -> None:
    assert PAGE.read_text(encoding="utf-8") == metrics_page(), (
        "python -c 'from layerweaver.backend_sim.results.metrics import metrics_page; "
        'print(metrics_page(), end="")\' > docs/metrics.md'
    )
