"""Finding a policy by name (entry points) or by path."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from layerweaver.ir import PolicyError, read_bounded
from layerweaver.ir.spelling import nearest
from layerweaver.scheduler.policies.contract import Policy, PolicySpec

__all__ = ["ENTRY_POINT_GROUP", "load_policy", "load_spec", "policy_names", "policy_rows"]

ENTRY_POINT_GROUP = "layerweaver.policies"
_ARGUMENTS = 3
_MAX_FILE_BYTES = 1 << 20


def policy_names() -> tuple[str, ...]:
    """Names of all registered policies, ascending."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))


def policy_rows() -> list[dict[str, object]]:
    """Every registered policy: one-line rule, source, options (type and default of each) and modes."""
    rows: list[dict[str, object]] = []
    for name in policy_names():
        spec = load_spec(name)
        options = {
            option: {"type": kind, "default": default}
            for option, (kind, default) in spec.option_fields().items()
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
        reference: ``"layerweaver+"``, ``"./mine.py"`` or ``{"name": "layerweaver+", "margin_us": 50}``.

    Raises:
        PolicyError: If there is no such policy or file, it does not load, or an option is wrong.
    """
    if isinstance(reference, Policy):
        return reference
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
    points = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)
    for point in points:
        if point.name == text:
            return _from_entry_point(point)
    names = [point.name for point in points]
    hint = nearest(text, names, "known")
    raise PolicyError(f"no policy is called {text[:60]!r}", accepted=f"{hint}, or ./file.py")


def _from_entry_point(point: EntryPoint) -> PolicySpec:
    where = f"policy {point.name} ({point.value})"
    try:
        found = point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise PolicyError(f"does not load: {error}", where=where) from error
    return _as_spec(found, where)


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
    name = f"layerweaver_policy_{digest}"
    module = sys.modules.get(name)
    if module is None:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PolicyError("is not a Python file", where=str(path))
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
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
    return found
