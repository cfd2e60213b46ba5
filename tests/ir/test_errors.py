"""Messages: one printable line, whatever names the input holds, and lists that are cut."""

from __future__ import annotations

from layerweaver.ir import ModelError
from layerweaver.ir.text import counted, figure, first_of


def test_message_is_where_what_and_what_would_be_accepted() -> None:
    error = ModelError("is empty", where="net.onnx", accepted="give a model")
    assert str(error) == "net.onnx: is empty; give a model"


def test_message_is_one_printable_line() -> None:
    error = ModelError("node 'a\nb\x1b[2J' is wrong", where="folder\n/net.onnx")
    assert str(error) == "folder /net.onnx: node 'a b\\x1b[2J' is wrong"


def test_message_is_of_bounded_length() -> None:
    error = ModelError("x" * 60_000, where="net.onnx", accepted="give less")
    assert len(str(error)) < 1000
    assert str(error).startswith("net.onnx: xxx")
    assert str(error).endswith("; give less")


def test_one_of_something_is_no_plural() -> None:
    assert [counted(n, "layer") for n in (0, 1, 2, 1000)] == [
        "0 layers",
        "1 layer",
        "2 layers",
        "1,000 layers",
    ]
    assert counted(1, "query", "queries") == "1 query"
    assert counted(3, "query", "queries") == "3 queries"


def test_large_figures_stand_in_full() -> None:
    assert [figure(value) for value in (0, 0.01234, 9.996, 999.4, 999.6, 3600, -12345.6)] == [
        *("0", "0.0123", "10", "999", "1,000", "3,600", "-12,346"),
    ]
    fours = [figure(value, 4) for value in (3011.2, 999.96, 9999.7, 14_320.0)]
    assert fours == ["3,011", "1,000", "10,000", "14,320"]


def test_a_list_is_cut_in_words() -> None:
    assert first_of(["a", "b", "c"], 3) == "a, b, c"
    assert first_of(["a", "b", "c"], 2) == "a, b and 1 more"
    assert first_of([str(k) for k in range(9)], 1, "tenants") == "0 and 8 more tenants"
    assert first_of([], 2) == ""
