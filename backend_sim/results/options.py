"""Options of policies that are not their defaults, told where the names of results have none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerweaver.backend_sim.results.certified import Certificate
from layerweaver.backend_sim.results.naming import POLICY_FILE, option_text, settings_of, settings_searched
from layerweaver.backend_sim.results.schema.peak import Peak
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.told import told_by
from layerweaver.ir import LayerweaverError

__all__ = ["options_of_peaks", "options_of_runs"]

_USUAL: Mapping[str, object] = {"commit": "late"}


def options_of_runs(names: Sequence[str], runs: Sequence[Run | Certificate]) -> list[str]:
    """Of runs by their names, the options that are not the defaults and that the names do not have."""
    return _notes(names, settings_of(runs))


def options_of_peaks(document: Peak) -> list[str]:
    """The same of the rows of a search."""
    return _notes([row["policy"] for row in document["results"]], settings_searched(document))


def _notes(names: Sequence[str], settings: Sequence[Mapping[str, object]]) -> list[str]:
    """The same of settings of policies: ``name``, options, and the file, "" of a registered policy.

    Defaults are those of the policies that are installed; of one that is not, nothing is told. A policy from
    a file is not run for this: all its options are told, but for the usual ``commit``.
    """
    return told_by(names, [_told(name, given) for name, given in zip(names, settings, strict=True)])


def _told(name: str, given: Mapping[str, object]) -> list[str]:
    file = given.get(POLICY_FILE)
    if file is None:
        return []
    if file:
        heading, usual = "options", _USUAL
        options = {key: value for key, value in given.items() if key not in {"name", POLICY_FILE}}
    else:
        heading, usual = "options other than the default", _defaults(str(given["name"]))
        options = {key: given.get(key, default) for key, default in usual.items()}
    texts = [option_text(key, value) for key, value in options.items() if value != usual.get(key)]
    changed = ", ".join(text for text in texts if text not in name.split(" "))
    return [f"{heading}: {changed}"] if changed else []


def _defaults(policy: str) -> Mapping[str, object]:
    from layerweaver.scheduler.policies.registry import load_spec, policy_names  # noqa: PLC0415 - loads NumPy

    try:
        return load_spec(policy).configure().as_options() if policy in policy_names() else {}
    except LayerweaverError:
        return {}
