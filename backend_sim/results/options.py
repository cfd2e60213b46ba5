"""Options of policies that are not their defaults, told where the names of results have none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from layerweaver.backend_sim.results.certified import Certificate
from layerweaver.backend_sim.results.naming import POLICY_FILE, option_text, settings_of, settings_searched
from layerweaver.backend_sim.results.schema.peak import Peak
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.told import told_by
from layerweaver.ir import LayerweaverError

__all__ = ["options_of_peaks", "options_of_runs"]

_USUAL = {"commit": "late"}


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
    told = list[list[str]]()
    for name, given in zip(names, settings, strict=True):
        file = given.get(POLICY_FILE)
        usual = _defaults(str(given["name"])) if file == "" else _USUAL if file else given
        changed = ", ".join(_changed(name, given, usual, every=bool(file)))
        told.append([f"options{'' if file else ' other than the default'}: {changed}"] if changed else [])
    return told_by(names, told)


def _changed(
    name: str, setting: Mapping[str, object], usual: Mapping[str, object], *, every: bool
) -> Iterator[str]:
    for key in setting if every else usual:
        text = option_text(key, setting.get(key))
        own = key not in {"name", POLICY_FILE}
        if own and setting.get(key, usual.get(key)) != usual.get(key) and text not in name.split(" "):
            yield text


def _defaults(policy: str) -> Mapping[str, object]:
    from layerweaver.scheduler.policies.registry import load_spec, policy_names  # noqa: PLC0415 - loads NumPy

    try:
        return load_spec(policy).configure().as_options() if policy in policy_names() else {}
    except LayerweaverError:
        return {}
