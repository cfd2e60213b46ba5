"""What a model is bound to from Python is of the types that it is said to be, or refused in one line."""

from typing import Any

import numpy as np
import pytest

from layerweaver import import_model, inspect_model
from layerweaver.ir import ModelError


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"batch": "4"}, "batch '4' (str) is not accepted; give a whole number"),
        ({"batch": 4.0}, "batch '4.0' (float) is not accepted"),
        ({"batch": True}, "batch 'True' (bool) is not accepted"),
        ({"dims": ["tokens=16"]}, "(list) is not accepted; give a mapping of names to values"),
        ({"dims": {"tokens": "16"}}, "dims tokens '16' (str) is not accepted"),
        ({"shapes": {"input_ids": 16}}, "shape of input_ids: '16' (int) is not accepted"),
        ({"shapes": {"input_ids": "1x16"}}, "(str) is not accepted"),
        ({"shapes": {"input_ids": (1, 16.0)}}, "shape of input_ids: '16.0' (float) is not accepted"),
        ({"values": [1]}, "values '[1]' (list) is not accepted"),
        ({"trip_counts": {"loop": 1.5}}, "trip_counts loop '1.5' (float) is not accepted"),
    ],
)
@pytest.mark.parametrize("read", [import_model, inspect_model])
def test_other_types_are_refused(read: Any, given: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError) as refused:
        read("zoo:bert-base", **given)
    assert told in str(refused.value)


def test_numbers_of_numpy_are_whole_numbers() -> None:
    bound: dict[str, Any] = {"dims": {"tokens": np.int64(16)}, "batch": np.int32(2)}
    graph = import_model("zoo:bert-base", **bound)
    assert (graph.batch, type(graph.macs)) == (2, int)
