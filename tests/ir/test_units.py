"""Quantities with units."""

import pytest

from layerweaver.ir import parse_quantity


@pytest.mark.parametrize(
    ("text", "dimension", "unit", "value"),
    [
        ("68 GB/s", "bandwidth", "gb/s", 68),
        ("68GBps", "bandwidth", "gb/s", 68),
        ("0.7 ghz", "frequency", "mhz", 700),
        ("2 GiB/s", "bandwidth", "gb/s", 2.147483648),
        (225, "bandwidth", "gb/s", 225),
        ("225", "bandwidth", "gb/s", 225),
        ("0.7 GHz", "frequency", "mhz", 700),
        ("48 MiB", "bytes", "mb", 50.331648),
        ("1_000 kB", "bytes", "mb", 1),
        ("15ms", "time", "s", 0.015),
        ("1e-3 s", "time", "ms", 1),
    ],
)
def test_numbers_and_text_with_units(text: str | float, dimension: str, unit: str, value: float) -> None:
    assert parse_quantity(text, dimension, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["68 GBps per core", "fast", "", "68 GHz", "nan", "inf", "1e999", True, "--3 GB/s"]
)
def test_other_text_is_refused_with_the_accepted_forms(text: str | bool) -> None:
    with pytest.raises(
        ValueError, match=r"give a number in GB/s or text such as '68 GB/s' with one of B/s, kB/s"
    ):
        parse_quantity(text, "bandwidth", "gb/s")


@pytest.mark.parametrize(
    ("text", "dimension", "unit", "said"),
    [
        ("17 Gb/s", "bandwidth", "gb/s", "a small b is a bit"),
        ("17 gb/s", "bandwidth", "gb/s", "a small b is a bit"),
        ("17Gbps", "bandwidth", "gb/s", "a small b is a bit"),
        ("8 Mb", "bytes", "mb", "a small b is a bit"),
        ("8 MJ", "energy", "pj", "a capital M is"),
        ("8 MS", "time", "ms", "a capital M is"),
    ],
)
def test_units_that_would_be_misread_are_refused(text: str, dimension: str, unit: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"is not understood; .*{said}"):
        parse_quantity(text, dimension, unit)
