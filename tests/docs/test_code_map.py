"""What the code map of CONTRIBUTING.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAP = (
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Where things are\n")[1].split("\n## ")[0]
)
PATHS = sorted(set(re.findall(r"`([\w/]+\.\w+)`", MAP)))
SYMBOLS = re.findall(r"`(\w+)` in `([\w/]+\.py)`", MAP)


def test_every_row_of_the_map_is_read() -> None:
    rows = [line for line in MAP.splitlines() if line.startswith("| ") and ".py" in line]
    assert len(rows) >= 20
    assert all(any(path in row for path in PATHS) for row in rows)
    assert len(SYMBOLS) >= 7


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_the_map_exists(path: str) -> None:
    pattern = re.sub(r"[A-Z]{4,}(?=[_.])", "*", path)
    assert any(match.name != "__init__.py" or "*" not in pattern for match in ROOT.glob(pattern)), path


@pytest.mark.parametrize(("symbol", "path"), SYMBOLS)
def test_a_name_of_the_map_is_defined_where_it_says(symbol: str, path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^\s*(?:def {symbol}\(|class {symbol}\b|{symbol}\s*[:=])", text, re.MULTILINE), symbol
