"""Running the code of others: what it does wrong becomes one line, and Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import linecache
import re
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, cast

from layerweaver.ir import PolicyError
from layerweaver.scheduler.machine.jit import load_numba
from layerweaver.scheduler.policies.chance import find_divisions, find_lookups, find_prints
from layerweaver.scheduler.policies.contract import Policy

__all__ = ["guarded", "is_of_others"]

PATIENCE_S = 5.0

_NOT_THE_CAUSE = "- Resolution failure"
"""How numba begins what follows from something else."""
_NO_MEMORY = "NRT required but not enabled"


def is_of_others(choose: Callable[..., Any]) -> bool:
    """Whether a policy's function is not of this package."""
    return not choose.__module__.startswith("layerweaver.")


def guarded(advance: Callable[..., int], arguments: tuple[Any, ...], policy: Policy, compiled: bool) -> int:
    """Run a slice; a policy that numba cannot compile, or that fails, becomes a PolicyError.

    Raises:
        PolicyError: If the policy prints, does not compile, fails, or does not come to an end before Ctrl-C.
    """
    if not compiled:
        return _uncompiled(advance, arguments, policy)
    _refuse_prints(policy)
    from numba.core.errors import NumbaError, NumbaWarning  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaWarning)  # what it doubts, it refuses a moment later
            if is_of_others(policy.spec.choose) and threading.current_thread() is threading.main_thread():
                return _interruptible(advance, arguments, policy)
            return advance(*arguments)
    except NumbaError as error:
        raise _not_compiled(policy, str(error)) from error
    except KeyError as error:  # numba's answer to a field that a record does not have
        if not (error.args and isinstance(error.args[0], str)):
            raise _failed(policy, error) from error
        raise _not_compiled(policy, f"there is no field {error}") from error
    except PolicyError:
        raise
    except (ArithmeticError, LookupError, ValueError) as error:
        raise _failed(policy, error) from error
    except Exception as error:  # numba refuses what it does not know in many ways, assertions among them
        if not is_of_others(policy.spec.choose):
            raise
        raise _not_compiled(policy, f"{type(error).__name__}: {error}") from error


def _uncompiled(advance: Callable[..., int], arguments: tuple[Any, ...], policy: Policy) -> int:
    """A slice as plain Python, whose traceback says where a policy fails; a debugger finds it as the cause.

    Raises:
        PolicyError: If it fails.
    """
    try:
        return advance(*arguments)
    except PolicyError:
        raise
    except Exception as error:
        choose = cast("FunctionType", policy.spec.choose)
        if not is_of_others(choose):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        file = choose.__code__.co_filename
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)
        place = f" in line {line} of {Path(file).name}" if line else ""
        said = f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0]
        accepted = "" if line else "choose returns an integer on every path"
        raise PolicyError(f"fails: {said}{place}", where=policy.name, accepted=accepted) from error


def _interruptible(advance: Callable[..., int], arguments: tuple[Any, ...], policy: Policy) -> int:
    """A slice in a thread of its own: compiled code hears no Ctrl-C, and a loop of others may have no end.

    Raises:
        PolicyError: If the slice has not ended some seconds after Ctrl-C.
        KeyboardInterrupt: If it has.
    """
    ended: list[int | BaseException] = []
    over = threading.Event()  # a join that Ctrl-C interrupts takes its thread for ended

    def work() -> None:
        try:
            ended.append(advance(*arguments))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            ended.append(error)
        over.set()

    try:
        threading.Thread(target=work, daemon=True).start()
        over.wait()
    except KeyboardInterrupt:
        _wait(over)
        if not over.is_set():
            raise PolicyError(
                f"did not come to an end within {PATIENCE_S:g} s of Ctrl-C",
                where=policy.name,
                accepted="see that every loop of choose ends",
            ) from None
        raise
    (result,) = ended
    if isinstance(result, BaseException):
        raise result
    return result


def _wait(over: threading.Event) -> None:
    """Give a slice its time to end, whoever presses Ctrl-C again."""
    last = time.monotonic() + PATIENCE_S
    while not over.is_set() and (left := last - time.monotonic()) > 0:
        with contextlib.suppress(KeyboardInterrupt):
            over.wait(left)


def _refuse_prints(policy: Policy) -> None:
    """Compiled code would print between the lines of a result, and millions of times."""
    choose = cast("FunctionType", policy.spec.choose)
    if not is_of_others(choose) or load_numba().config.DISABLE_JIT or (place := find_prints(choose)) is None:
        return
    raise PolicyError(
        "prints, which compiled code does not",
        where=f"policy {policy.name}, {Path(place[0]).name} line {place[1]}",
        accepted="take it out, or layerweaver.simulate(..., compiled=False)",
    )


_FINDERS: dict[type[Exception], tuple[Callable[[FunctionType], list[tuple[str, int]]], str]] = {
    ZeroDivisionError: (find_divisions, ""),
    IndexError: (
        find_lookups,
        "of view.ready the first machine.ready_count + hidden_count, of view.heads and memory.tenants the "
        "first machine.tenant_count",
    ),
}
"""How the places are found that may have failed, and what would do."""


def _failed(policy: Policy, error: Exception) -> PolicyError:
    """A policy that went wrong while it ran; compiled code does not say where, what may fail is known."""
    choose, said = cast("FunctionType", policy.spec.choose), f"{type(error).__name__}: {error}"
    find, accepted = _FINDERS.get(type(error), (None, ""))
    lines: dict[str, list[str]] = {}
    for file, line in dict.fromkeys(find(choose) if find is not None and is_of_others(choose) else ()):
        lines.setdefault(Path(file).name, []).append(str(line))
    if lines:
        files = (f"line {' or '.join(found)} of {file}" for file, found in lines.items())
        said = f"{said} in {' or '.join(files)}"
    return PolicyError(f"fails: {said}", where=policy.name, accepted=accepted)


def _not_compiled(policy: Policy, text: str) -> PolicyError:
    """What numba dislikes, in one line, with the line of the policy's file that it names last."""
    code = cast(FunctionType, policy.spec.choose).__code__
    file, text = Path(code.co_filename).name, re.sub(r"\x1b\[[\d;]*m", "", text)  # coloured beside colorama
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith("Failed in")]
    reason = next((line for line in told if not line.startswith(_NOT_THE_CAUSE)), "")
    if reason.startswith("No implementation of function"):
        reason = f"{reason} {next((line for line in lines if line.startswith('>>>')), '')[3:]}".strip()
    reason = re.sub(r"^No implementation of function .* found for signature: *", "numba has no ", reason)
    reason = re.sub(r"(unaligned )?array\(Record\([^()]*\), \w+, \w+\)", "records", reason)
    reason = re.sub(
        r"^\w+: Use of unsupported opcode \(IMPORT_NAME\).*", "an import inside a function", reason
    )
    if _NO_MEMORY in text and told[0].startswith(_NOT_THE_CAUSE):
        reason = "a list, mapping, set or array is made, for which a decision has no memory"
    reason = re.sub(
        r"^Untyped global name '(\w+)': *Cannot determine Numba type of <class '([\w.]+)'>",
        r"\1 is a \2, which compiled code cannot read",
        reason,
    )
    reason = re.sub(r"^Unknown attribute ('\w+') of type (\w+).*", r"\2 has no \1", reason)
    places = re.findall(rf'{re.escape(file)}(?:", line | \()(\d+)', text)
    if not places and (field := re.match(r"there is no field '(\w+)'", reason)):
        source = linecache.getlines(code.co_filename)
        places = [str(number) for number, line in enumerate(source, 1) if f".{field[1]}" in line]
    if not places and re.match(r"numba has no getitem\(records, float", reason):
        reason = "choose returns a float"
    hint = "arithmetic, loops and calls of plain functions; see docs/policies.md"
    if not places and "argument" not in reason and "field" not in reason:
        hint = f"choose returns an integer on every path and keeps to {hint}"
    return PolicyError(
        f"does not compile: {reason[:200]}",
        where=f"policy {policy.name}, {file}" + (f" line {places[-1]}" if places else ""),
        accepted=hint,
    )
