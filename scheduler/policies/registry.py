"""Finding a policy by name (entry points) or by path."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import cast

from layerweaver.ir import PolicyError, read_bounded
from layerweaver.ir.plugins import PluginGroup
from layerweaver.ir.spelling import nearest
from layerweaver.scheduler.policies.chance import find_chance, find_endless
from layerweaver.scheduler.policies.contract import FILE_MODULE, Policy, PolicySpec
from layerweaver.scheduler.policies.options import as_stated
from layerweaver.scheduler.policies.soundness import check_declaration
from layerweaver.scheduler.policies.words import read_policy_words
from layerweaver.scheduler.policies.writing import find_kept, find_writes

__all__ = ["ENTRY_POINT_GROUP", "load_policy", "load_spec", "policy_names", "policy_rows"]

ENTRY_POINT_GROUP = "layerweaver.policies"
_POLICIES = PluginGroup(ENTRY_POINT_GROUP, "policy", PolicyError, {})
_ARGUMENTS = 3
_MAX_FILE_BYTES = 1 << 20


def policy_names() -> tuple[str, ...]:
    """Names of all registered policies, ascending."""
    return _POLICIES.names


def policy_rows() -> list[dict[str, object]]:
    """Every registered policy: one-line rule, source, options (type and default of each) and modes."""
    rows: list[dict[str, object]] = []
    for name in policy_names():
        spec = load_spec(name)
        options = {
            name: {"type": option.type_text, "default": as_stated(option.default)}
            for name, option in spec.known_options().items()
        }
        rows.append(
            {
                "name": name,
                "summary": spec.summary,
                "source": spec.source,
                "options": options,
                "modes": list(spec.modes),
            }
        )
    return rows


def load_policy(reference: str | Path | Mapping[str, object] | Policy) -> Policy:
    """A configured policy from a name, a path, or a mapping of ``name`` and options.

    Args:
        reference: ``"layerweaver+"``, ``"./mine.py"``, ``"layerweaver+:margin_us=50"`` or
            ``{"name": "layerweaver+", "margin_us": 50}``.

    Raises:
        PolicyError: If there is no such policy or file, it does not load, or an option is wrong.
    """
    if isinstance(reference, Policy):
        return reference
    if isinstance(reference, str):
        reference = read_policy_words(reference)
    if isinstance(reference, Mapping):
        options = {str(key): value for key, value in reference.items()}
        name = options.pop("name", None)
        if not isinstance(name, (str, Path)):
            raise PolicyError("has no name", where="policy", accepted="give {name: ..., option: value}")
        return load_spec(name).configure(**options)
    return load_spec(reference).configure()


def load_spec(reference: str | Path) -> PolicySpec:
    """A policy before its options are chosen, by name or path.

    Raises:
        PolicyError: If there is no such policy or file, or it does not load.
    """
    text = str(reference)
    if isinstance(reference, Path) or text.endswith(".py"):
        return _from_file(Path(reference))
    if text not in _POLICIES.entries:
        hint = nearest(text, policy_names(), "known")
        raise PolicyError(f"no policy is called {text[:60]!r}", accepted=f"{hint}, or ./file.py")
    found = _as_spec(_POLICIES.load(text), f"policy {text} ({_POLICIES.entries[text].value})")
    return found if found.name == text else replace(found, name=text)  # what results say can be run again


class _SourceLoader(SourceFileLoader):
    """Runs the text that was read, never the compiled code that may lie beside it, and leaves none there."""

    def __init__(self, name: str, path: Path, content: bytes) -> None:
        super().__init__(name, str(path))
        self._content = content

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        code: CodeType = self.source_to_code(self._content, self.path)
        return code


def _from_file(path: Path) -> PolicySpec:
    """Run a policy file as a module of its own name; the same file is loaded once."""
    try:
        content = read_bounded(path, _MAX_FILE_BYTES)
    except OSError as error:
        raise PolicyError(
            f"cannot be read: {error.strerror}", where=str(path), accepted="give a Python file with POLICY"
        ) from error
    if content is None:
        raise PolicyError(f"is larger than {_MAX_FILE_BYTES} bytes", where=str(path))
    digest = hashlib.sha256(str(path.resolve()).encode() + content).hexdigest()[:16]
    name = f"{FILE_MODULE}{digest}"
    module = sys.modules.get(name)
    if module is None:
        loader = _SourceLoader(name, path, content)
        spec = importlib.util.spec_from_loader(name, loader)
        assert spec is not None  # it has a loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            kind = type(error).__name__
            raise PolicyError(f"does not load: {kind}: {error}", where=str(path)) from error
    found = getattr(module, "POLICY", None)
    if found is None:
        raise PolicyError("has no POLICY", where=str(path), accepted="define POLICY = PolicySpec(...)")
    return _as_spec(found, str(path))


def _as_spec(found: object, where: str) -> PolicySpec:
    if not isinstance(found, PolicySpec):
        raise PolicyError(
            f"is a {type(found).__name__}, not a policy",
            where=where,
            accepted="define POLICY = PolicySpec(...)",
        )
    code = getattr(found.choose, "__code__", None)
    if code is None or code.co_argcount != _ARGUMENTS:
        raise PolicyError(
            "choose is not a function of three arguments",
            where=where,
            accepted="def choose(view, options, memory)",
        )
    check_declaration(found, where)
    return _sound(found, where)


def _fields(kind: type) -> Iterator[str]:
    """The fields of what a policy remembers."""
    for base in getattr(kind, "__mro__", ()):
        yield from inspect.get_annotations(base)


def _sound(spec: PolicySpec, where: str) -> PolicySpec:
    """Refuse a policy that never chooses, whose runs could differ, or that changes what it sees."""
    own = ("mode", "hold_until", *(name for kind in (spec.memory, spec.common) for name in _fields(kind)))
    faults = (
        (find_endless, "{} in line {} of {} never returns", "a loop that ends, and a return"),
        (
            find_chance,
            "calls {} in line {} of {}, so that no run could be repeated",
            "decide by what view, options and memory hold",
        ),
        (
            partial(find_writes, own=own),
            "changes {} in line {} of {}, which is the simulator's",
            "write machine.mode, machine.hold_until and fields of memory only",
        ),
        (
            find_kept,
            "names {} in line {} of {}, which may change from run to run",
            "remember in memory; constants are numbers, tuples or arrays",
        ),
    )
    for find, text, accepted in faults:
        if (fault := find(cast("FunctionType", spec.choose))) is not None:
            name, file, line = fault
            raise PolicyError(text.format(name, line, Path(file).name), where=where, accepted=accepted)
    return spec
