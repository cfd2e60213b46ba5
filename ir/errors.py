"""Errors that a user can mend: what is wrong, where, and what would be accepted.

Every error that bad input can cause derives from :class:`LayerweaverError` and prints as one line. The
command line turns it into exit code 2; anything else that escapes is a fault of the tool.
"""

from __future__ import annotations

from layerweaver.ir.text import one_line

__all__ = [
    "ConfigError",
    "LayerweaverError",
    "ModelError",
    "OutputError",
    "PolicyError",
    "ProfileError",
    "ScenarioError",
    "TrafficError",
]


class LayerweaverError(Exception):
    """Base of all errors caused by input.

    Args:
        what: What is wrong, in words, without a final stop.
        where: The culprit: a file, and within it a node, field or line; empty when there is no place.
        accepted: What would be accepted instead; empty when there is nothing to add.
    """

    def __init__(self, what: str, *, where: str = "", accepted: str = "") -> None:
        self.what = one_line(what)
        self.where = one_line(where)
        self.accepted = one_line(accepted)
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}; {self.accepted}" if self.accepted else head


class ModelError(LayerweaverError):
    """An ONNX model that cannot be read, bound or lowered (``where`` names file and node)."""


class ConfigError(LayerweaverError):
    """An NPU configuration or cost file that is wrong (``where`` names file, line and field)."""


class ProfileError(LayerweaverError):
    """A schedule profile that is damaged, of a newer version, or lacks an entry."""


class PolicyError(LayerweaverError):
    """A policy that does not exist, does not compile, or has a wrong option."""


class ScenarioError(LayerweaverError):
    """A scenario file that is wrong (``where`` names file and field)."""


class TrafficError(LayerweaverError):
    """A trace or arrival process that is wrong (``where`` names file, line and column)."""


class OutputError(LayerweaverError):
    """An output that cannot be written; an existing file is left untouched."""
