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


def options_of_runs(names: Sequence[str], runs: Sequence[Run | Certificate]) -> list[str]:
    """Of runs by their names, the options that are not the defaults and that the names do not have."""
    return _notes(names, settings_of(runs))


def options_of_peaks(document: Peak) -> list[str]:
    """The same of the rows of a search."""
    return _notes([row["policy"] for row in document["results"]], settings_searched(document))


def _notes(names: Sequence[str], settings: Sequence[Mapping[str, object]]) -> list[str]:
    """The same of settings of policies: ``name``, options, and the file, "" of a registered policy.

    Defaults are those of the policies that are installed: of one that is not, or that is read from a file,
    which is not run for this, nothing is told.
    """
    changed = [", ".join(_changed(name, given)) for name, given in zip(names, settings, strict=True)]
    return told_by(names, [[f"options other than the default: {text}"] if text else [] for text in changed])


def _changed(name: str, setting: Mapping[str, object]) -> Iterator[str]:
    if setting.get(POLICY_FILE) == "":
        defaults = _defaults(str(setting["name"]))
        for key, default in defaults.items():
            text = option_text(key, setting.get(key))
            if setting.get(key, default) != default and text not in name.split(" "):
                yield text


def _defaults(policy: str) -> Mapping[str, object]:
    from layerweaver.scheduler.policies.registry import load_spec, policy_names  # noqa: PLC0415 - loads NumPy

    try:
        return load_spec(policy).configure().as_options() if policy in policy_names() else {}
    except LayerweaverError:
        return {}
