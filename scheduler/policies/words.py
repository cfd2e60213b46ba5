"""Policies as words: ``NAME[:OPTION=VALUE...]``, wherever a policy is named."""

from __future__ import annotations

from typing import Any

from layerweaver.ir import PolicyError

__all__ = ["read_policy_words"]

_FORM = "NAME[:OPTION=VALUE...]"
_PARTED = "options are parted by colons, NAME:ONE=1:OTHER=2"


def read_policy_words(text: str) -> str | dict[str, Any]:
    """A policy's name, or a mapping of ``name`` and options where the words have some.

    Raises:
        PolicyError: If the words have another form.
    """
    if text.endswith(".py"):  # a path, which may hold colons
        return text
    name, *words = text.strip().split(":")
    if "=" in name and not words:  # an option that a comma parted from its policy
        raise PolicyError(f"policy {text[:80]!r} is not of the form {_FORM}", accepted=_PARTED)
    options: dict[str, Any] = {}
    for word in words:
        option, equals, value = word.partition("=")
        if not (equals and option and value):
            raise PolicyError(f"policy {text[:80]!r} is not of the form {_FORM}")
        if "=" in value:
            raise PolicyError(f"policy {text[:80]!r} is not of the form {_FORM}", accepted=_PARTED)
        if option in options:
            raise PolicyError(f"policy {text[:80]!r} has {option} twice", accepted="give it once")
        options[option] = _option_value(value)
    return {"name": name, **options} if options else name


def _option_value(text: str) -> bool | int | float | str:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
