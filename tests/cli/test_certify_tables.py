"""The tables of certify."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from layerweaver.cli.rendering.results import certify_tables


def test_certify_shows_the_status_and_what_is_missing() -> None:
    def tenant(name: str, status: str, **more: Any) -> Any:
        verdict = "VALID" if status == "met" else "INVALID"
        return {
            "name": name,
            "status": status,
            "verdict": verdict,
            "loadgen_verdict": verdict,
            "p99_ns": 123_456_789,
            "loadgen_p99_ns": 123_456_789,
            "agree": True,
            "reasons": [],
            **more,
        }

    missing = "early stopping: 30 queries, needs 662 at p99, 632 missing"
    tenants = [tenant("vision", "met"), tenant("speech", "too_short", reasons=[missing])]
    document: Any = {"policy": "fcfs", "tenants": tenants}
    screen = Console(file=io.StringIO(), width=80)
    for item in certify_tables(document):
        screen.print(item)
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].startswith("fcfs, replayed through LoadGen")
    assert next(line for line in lines if "vision" in line).split()[:4] == ["vision", "met", "VALID", "VALID"]
    assert next(line for line in lines if "speech" in line).split()[1:4] == ["too", "short", "INVALID"]
    assert f"speech: {missing}" in lines
    assert not any("TTFT" in line for line in lines)


def test_certify_shows_both_times_of_a_language_model() -> None:
    vision: dict[str, Any] = {
        "name": "vision",
        "status": "met",
        "verdict": "VALID",
        "loadgen_verdict": "VALID",
    }
    vision |= {"p99_ns": 5, "loadgen_p99_ns": 5, "agree": True, "reasons": []}
    times = {"ttft_p99_ns": 1_234, "loadgen_ttft_p99_ns": 1_235, "tpot_p99_ns": 67_890}
    chat = {**vision, "name": "chat", **times, "loadgen_tpot_p99_ns": None}
    document: Any = {"policy": "fcfs", "tenants": [vision, chat]}
    screen = Console(file=io.StringIO(), width=80)
    for item in certify_tables(document):
        screen.print(item)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    first, second = text.split("tokens\n")
    assert "chat" in first
    assert "vision" not in second
    assert next(line for line in second.splitlines() if "chat" in line).split() == [
        *("chat", "1,234", "1,235", "67,890", "-"),
    ]
