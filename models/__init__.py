"""The model zoo: published networks as ordinary ONNX graphs without stored weights.

Every graph passes the checker, loads and runs in any ONNX tool, and has symbolic dimensions ``batch`` (and
``tokens`` or ``past``) that are bound like anyone's. Weights are ConstantOfShape nodes of the published
extents: they count as parameters and take a few bytes in the file.

>>> build("ncf").graph.input[0].type.tensor_type.shape.dim[0].dim_param
'batch'
>>> defaults("bert-base")
{'batch': 1, 'tokens': 384}
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

__all__ = ["UnknownModelError", "ZooModel", "build", "defaults", "describe", "names"]


class UnknownModelError(ValueError):
    """No model of the zoo has this name.

    Attributes:
        name: What was asked for.
        nearest: Names like it, best first.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.nearest = tuple(difflib.get_close_matches(name.lower(), _MODELS, n=3, cutoff=0.4))
        hint = (
            f"did you mean {' or '.join(self.nearest)}?" if self.nearest else f"known: {', '.join(_MODELS)}"
        )
        super().__init__(f"there is no model '{name}' in the zoo; {hint}")


@dataclass(frozen=True, slots=True)
class ZooModel:
    """What is known of a model without building it.

    Attributes:
        name: Name in the zoo.
        summary: One line.
        reference: Where the network was published.
        builder: ``module:function`` that builds it.
        dims: Extents of its symbolic dimensions where the user binds none.
    """

    name: str
    summary: str
    reference: str
    builder: str
    dims: Mapping[str, int] = field(default_factory=lambda: {"batch": 1})


_TEXT = {"batch": 1, "tokens": 384}

_DECODER = {"batch": 1, "seq": 1, "past": 1023}
_LLAMA_2 = "arXiv:2307.09288"

_MODELS: dict[str, ZooModel] = {
    model.name: model
    for model in (
        ZooModel("resnet50", "ResNet-50 v1.5, 224 x 224", "arXiv:1512.03385", "resnet:resnet50"),
        ZooModel("resnet18", "ResNet-18, 224 x 224", "arXiv:1512.03385", "resnet:resnet18"),
        ZooModel("resnext50", "ResNeXt-50 (32x4d), 224 x 224", "arXiv:1611.05431", "resnet:resnext50"),
        ZooModel("mobilenetv1", "MobileNet v1, 224 x 224", "arXiv:1704.04861", "mobilenet:mobilenet_v1"),
        ZooModel("mobilenetv2", "MobileNet v2, 224 x 224", "arXiv:1801.04381", "mobilenet:mobilenet_v2"),
        ZooModel("inception-v3", "Inception-v3, 299 x 299", "arXiv:1512.00567", "inception:inception_v3"),
        ZooModel("vgg16", "VGG-16, 224 x 224", "arXiv:1409.1556", "vgg:vgg16"),
        ZooModel("vit-b16", "ViT-B/16, 224 x 224", "arXiv:2010.11929", "vit:vit_b16"),
        ZooModel("bert-base", "BERT-base with pooler", "arXiv:1810.04805", "bert:bert_base", _TEXT),
        ZooModel("bert-large", "BERT-large with pooler", "arXiv:1810.04805", "bert:bert_large", _TEXT),
        ZooModel("xlnet-base", "XLNet-base, content stream", "arXiv:1906.08237", "xlnet:xlnet_base", _TEXT),
        ZooModel(
            "gpt2-decode",
            "GPT-2 small, one token with a cache of keys and values",
            "Radford et al., Language Models are Unsupervised Multitask Learners, 2019",
            "gpt2:gpt2_decode",
            {"batch": 1, "past": 127},
        ),
        ZooModel(
            "gpt2",
            "GPT-2 small with a cache, any number of new tokens",
            "Radford et al., Language Models are Unsupervised Multitask Learners, 2019",
            "gpt2:gpt2",
            {**_DECODER, "past": 127},
        ),
        ZooModel("llama-3.1-8b", "Llama 3.1 8B", "arXiv:2407.21783", "decoder:llama_3_1_8b", _DECODER),
        ZooModel("llama-2-7b", "Llama 2 7B", _LLAMA_2, "decoder:llama_2_7b", _DECODER),
        ZooModel("llama-2-70b", "Llama 2 70B", _LLAMA_2, "decoder:llama_2_70b", _DECODER),
        ZooModel("mistral-7b", "Mistral 7B", "arXiv:2310.06825", "decoder:mistral_7b", _DECODER),
        ZooModel("qwen2.5-7b", "Qwen2.5 7B", "arXiv:2412.15115", "decoder:qwen2_5_7b", _DECODER),
        ZooModel("ncf", "Neural collaborative filtering, MovieLens 20M", "arXiv:1708.05031", "ncf:ncf"),
    )
}


def names() -> tuple[str, ...]:
    """Names of all models."""
    return tuple(_MODELS)


def describe(name: str) -> ZooModel:
    """What is known of a model without building it.

    Raises:
        UnknownModelError: If there is no such model.
    """
    try:
        return _MODELS[name]
    except KeyError:
        raise UnknownModelError(name) from None


def defaults(name: str) -> dict[str, int]:
    """Extents of a model's symbolic dimensions where the user binds none.

    Raises:
        UnknownModelError: If there is no such model.
    """
    return dict(describe(name).dims)


def build(name: str) -> onnx.ModelProto:
    """Build a model; the same bytes every time.

    Raises:
        UnknownModelError: If there is no such model.
    """
    module, function = describe(name).builder.split(":")
    model: onnx.ModelProto = getattr(import_module(f"layerweaver.models.{module}"), function)()
    return model
