"""What is no plain YAML is refused in one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerweaver.ir import ConfigError
from layerweaver.ir.yaml_source import parse_yaml, read_yaml


@pytest.mark.parametrize(
    "text",
    [
        "1__0e5",
        "1_e5",
        "9" * 5000,
        "0x" + "f" * 5000,
        "-" + "1" * 101,
        "1." + "0" * 5000,
        "1e" + "9" * 5000,
        "0b_",
        "1:" * 200 + "1",
        "9" * 200 + ".0e1",
        '"\\ud800"',
        '"\\uDC00x"',
        '{"\\ud800": 1}',
    ],
)
def test_what_cannot_be_converted_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f.yaml:2: ") as caught:
        parse_yaml(f"a: 1\nb: {text}\n", "f.yaml", ConfigError)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
    problems: list[ConfigError] = []
    parse_yaml(f"a: 1\nb: {text}\n", "f.yaml", ConfigError, problems)  # type: ignore[arg-type]
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000e1", 10000.0),
        ("0x10", 16),
        ("1:30", 90),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ('"\\u00fc \\U0001f3a5"', "ü 🎥"),
        ("2024-01-01", "2024-01-01"),
        ("9" * 30, int("9" * 30)),
    ],
)
def test_what_can_be_is(text: str, value: object) -> None:
    assert parse_yaml(f"a: {text}", "f.yaml", ConfigError).value == {"a": value}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("none.yaml", "cannot be read (No such file or directory)"),
        (".", "cannot be read (Is a directory)"),
        ("a\0b.yaml", "cannot be read (not a file name)"),
        ("large.yaml", "is larger than 1 MiB"),
    ],
)
def test_what_is_no_file_of_such_a_size_is_refused(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"a" * ((1 << 20) + 1))
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / name, ConfigError)
    assert (caught.value.what, caught.value.accepted) == (what, "give a YAML file")


def test_a_file_of_just_that_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "whole.yaml"
    path.write_bytes(b"a: " + b"b" * ((1 << 20) - 3))
    assert len(read_yaml(path, ConfigError).value["a"]) == (1 << 20) - 3
