"""Field types of the NPU config: choices, bounded numbers, and quantities that may be text with a unit."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from layerweaver.ir import parse_quantity
from layerweaver.ir.sections import refusal

__all__ = [
    "ActivationsInDram",
    "ConvMapping",
    "Count",
    "Cycles",
    "Depthwise",
    "Evidence",
    "GigabytesPerSecond",
    "Gigahertz",
    "Mebibytes",
    "Megabytes",
    "Megahertz",
    "Microseconds",
    "Nanoseconds",
    "Natural",
    "Number",
    "Part",
    "Picojoules",
    "Rate",
    "Share",
    "Split",
    "Text",
    "number",
]

MAX_EXTENT = 1 << 20


class Split(StrEnum):
    """How several identical arrays share a layer."""

    FOLDS = "folds"
    EVEN = "even"
    CHANNELS = "channels"
    ROWS = "rows"
    BEST = "best"
    TILES = "tiles"


class ConvMapping(StrEnum):
    """Where the kernel positions of a convolution go."""

    IM2COL = "im2col"
    KERNEL_PASSES = "kernel_passes"


class ActivationsInDram(StrEnum):
    """Which activations move through DRAM even if they fit on chip."""

    SPILLED = "spilled"
    GRAPH_IO = "graph_io"
    PRODUCTS = "products"
    ALL = "all"


class Evidence(StrEnum):
    """What the figures of a config were held against."""

    MEASURED = "measured"
    REPRODUCED = "reproduced"
    DATA_SHEET = "data-sheet"


class Depthwise(StrEnum):
    """Which unit runs depthwise convolutions."""

    CHEAPER = "cheaper"
    ARRAY = "array"
    VECTOR = "vector"


def number(value: object) -> object:
    """Refuse booleans and numbers that are not finite, whatever the field accepts otherwise."""
    if isinstance(value, bool):
        raise refusal("true and false are not numbers")
    if isinstance(value, float) and not math.isfinite(value):
        raise refusal("the number must be finite")
    return value


def _quantity(dimension: str, unit: str) -> BeforeValidator:
    """Accept a number in ``unit``, or text with any unit of the dimension; the JSON Schema says so too."""

    def read(value: object) -> float:
        number(value)
        if isinstance(value, int) and abs(value) > 10**30:
            raise refusal("the number is too large")
        try:
            return parse_quantity(value, dimension, unit)  # type: ignore[arg-type]  # refuses other types
        except ValueError as error:
            raise refusal(str(error)) from None

    return BeforeValidator(read, json_schema_input_type=float | str)


Number = BeforeValidator(number)
Count = Annotated[int, Number, Field(gt=0, le=MAX_EXTENT)]
Natural = Annotated[int, Number, Field(ge=0, le=1 << 40)]
Share = Annotated[float, Number, Field(gt=0, le=1)]
Part = Annotated[float, Number, Field(ge=0, le=1)]
Rate = Annotated[float, Number, Field(gt=0, le=1e9)]
Cycles = Annotated[float, Number, Field(ge=0, le=1e6)]
Megahertz = Annotated[float, _quantity("frequency", "mhz"), Field(ge=1e-3, le=1e6)]
Gigahertz = Annotated[float, _quantity("frequency", "ghz"), Field(ge=1e-6, le=1e3)]
GigabytesPerSecond = Annotated[float, _quantity("bandwidth", "gb/s"), Field(gt=0, le=1e6)]
Megabytes = Annotated[float, _quantity("bytes", "mb"), Field(gt=0, le=1e9)]
Mebibytes = Annotated[float, _quantity("bytes", "mib"), Field(gt=0, le=1e9)]
Microseconds = Annotated[float, _quantity("time", "us"), Field(ge=0, le=1e9)]
Nanoseconds = Annotated[float, _quantity("time", "ns"), Field(ge=0, le=1e9)]
Picojoules = Annotated[float, _quantity("energy", "pj"), Field(ge=0, le=1e12)]
Text = Annotated[str, Field(max_length=2000)]
