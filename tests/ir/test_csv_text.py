"""Names in CSV: inert in spreadsheets, and given back as they were."""

from __future__ import annotations

import csv
import io

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from layerweaver.ir.csv_text import CsvWriter, cell_text, plain_cell, split

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text asks for tables of all characters
@given(st.lists(NAMES, min_size=1, max_size=20))
@example(
    ["=SUM(A1)", "+1", "-x", "@y", "\tz", "\rq", "'=a", "''-b", "'plain", "#1 camera", 'b, "two"', "a\rb"]
)
def test_every_name_comes_back_and_none_is_a_formula(names: list[str]) -> None:
    text = io.StringIO(newline="")
    CsvWriter(text).writerows((name, place, -1.5) for place, name in enumerate(names))
    rows = list(csv.reader(io.StringIO(text.getvalue(), newline="")))
    assert [cell_text(row[0]) for row in rows] == names
    assert not any(row[0][:1] in set("=+-@\t\r\n") for row in rows)
    assert [row[1:] for row in rows] == [[str(place), "-1.5"] for place in range(len(names))]


def test_rows_end_as_on_unix() -> None:
    text = io.StringIO()
    CsvWriter(text).writerow(["a", None, 1, True])
    assert text.getvalue() == "a,,1,True\n"


@given(st.lists(NAMES | st.just("") | st.floats() | st.none(), min_size=2))
@example(['a,"b"', "c", '""', ",", "\n", '"'])
def test_a_line_is_split_into_what_was_written(cells: list[str | float | None]) -> None:
    text = io.StringIO(newline="")
    CsvWriter(text).writerow(cells)
    line = text.getvalue()[:-1]
    found = split(line)
    assert ",".join(found) == line
    assert [plain_cell(cell) for cell in found] == ["" if cell is None else str(cell) for cell in cells]
