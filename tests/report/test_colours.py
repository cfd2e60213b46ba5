"""Colours stand out and text is readable on light and dark pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.report.palette import DANGER, IDLE_COLOURS, MARK, MOVING, SERIES

Make = Callable[..., dict[str, Any]]


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [*SERIES, DANGER, MARK, MOVING, *IDLE_COLOURS.values()])
@pytest.mark.parametrize("page", ["#ffffff", "#f6f8fa", "#12161b", "#1a2027"])
def test_series_stand_out_on_both_pages(colour: str, page: str) -> None:
    assert contrast(colour, page) >= 3


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_is_readable_in_both_schemes(make_document: Make, scheme: int) -> None:
    style = re.search(r"<style>(.*?)</style>", build_report([make_document(details=False)]), re.DOTALL)
    assert style is not None
    blocks = re.findall(r":root \{(.*?)\}", style.group(1), re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w{6})", blocks[scheme]))
    for ink in ("ink", "muted", "good", "bad", "link"):
        for ground in ("page", "card"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
