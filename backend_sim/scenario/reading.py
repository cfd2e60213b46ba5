"""Reading scenario files; every complaint with file, line, field and what would be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.scenario.checks import _check_limits, _check_names, check_tokens
from layerweaver.backend_sim.scenario.plain import plain
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.scenario.schema import ScenarioSpec
from layerweaver.ir import ScenarioError
from layerweaver.ir.given import PATHS, check_given
from layerweaver.ir.sections import validated
from layerweaver.ir.spelling import nearest
from layerweaver.ir.yaml_source import YamlSource, parse_yaml, read_yaml

__all__ = ["EXAMPLES", "builtin_scenario", "load_scenario"]

EXAMPLES = {"vision": "photos-camera-chat.yaml", "llm": "chat.yaml"}
"""Scenarios that come with the package, the one that runs where none is given first."""


def load_scenario(
    source: str | Path | Mapping[str, Any], *, folder: Path = Path(), skip_bad_rows: bool = False
) -> Scenario:
    """Read a scenario.

    Args:
        source: Path of a YAML file, or the same keys as a mapping; objects (NPU configs, graphs, policies,
            paths, NumPy numbers) are taken as values, too.
        folder: Where the paths of a mapping start; those of a file start where it lies.
        skip_bad_rows: Leave bad rows of traces out, and count them, instead of stopping.

    Raises:
        ScenarioError: If the file or a key is wrong; the message has file, line, field and what is accepted.
    """
    if isinstance(source, Mapping):
        document = YamlSource(plain(source), "scenario", {})
    else:
        check_given(source, PATHS, ScenarioError, "give the path of a scenario file, or its keys")
        path = Path(source)
        document, folder = read_yaml(path, ScenarioError), path.parent
    return _checked(document, folder, skip_bad_rows)


def builtin_scenario(name: str = "vision") -> Scenario:
    """A scenario that comes with the package.

    Args:
        name: ``vision``: three tenants of fixed cost on the memory-centric NPU; ``llm``: a language model
            beside two of vision on one TPU v6e.

    Raises:
        ScenarioError: If there is none of that name.
    """
    if name not in EXAMPLES:
        raise ScenarioError(
            f"no example is called {name[:80]!r}", accepted=nearest(name, [*EXAMPLES], "examples")
        )
    data = files("layerweaver.backend_sim.scenario").joinpath(EXAMPLES[name]).read_bytes()
    return _checked(parse_yaml(data, EXAMPLES[name], ScenarioError), Path(), False)


def _checked(document: YamlSource, folder: Path, skip_bad_rows: bool) -> Scenario:
    spec = validated(ScenarioSpec, document, ScenarioError)
    scenario = Scenario(spec, document, folder, skip_bad_rows)
    _check_names(scenario)
    _check_limits(scenario)
    check_tokens(scenario)
    for index, tenant in enumerate(spec.tenants):
        tenant.arrival.check(scenario.length(index), scenario.where("tenants", index, "arrival"))
    return scenario
