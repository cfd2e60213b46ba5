"""JSON from strangers: whatever nothing can hold is refused before it takes memory."""

from __future__ import annotations

import pytest

from layerweaver.ir.json_text import MAX_VALUES, parse_json


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[" + b"[]," * MAX_VALUES + b"[]]", "more than"),
        (b"[" * 100_000, "deep"),
        (b'{"a": 1e999}', "1e999"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'"\\ud800"', "half a character"),
        (b'{"\\udc00x": 1}', "half a character"),
        (b"1" * 5000, "digits"),
        (b"\xff", "decode"),
        (b"{", "Expecting"),
        (b'{"a": [{"b": 1, "c": 2, "\\u0062": 1}]}', "the key 'b' appears twice"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(data)


def test_accepted() -> None:
    assert parse_json(b'{"a": [1, 2.5, "\\u00fc\\ud83c\\udfa5"]}') == {"a": [1, 2.5, "\u00fc\U0001f3a5"]}
