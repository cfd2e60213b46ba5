"""What a policy is: one function over documented records, and a frozen dataclass of options.

A policy file looks like this and needs nothing else::

    from dataclasses import dataclass
    from typing import Any

    from layerweaver.scheduler.policies.contract import Memory, PolicySpec, View


    @dataclass(frozen=True, slots=True)
    class Options:
        patience_us: float = 100.0  # choose also gets it as options.patience_cycles


    def choose(view: View, options: Any, memory: Memory) -> int:
        best = view.ready[0]
        for k in range(1, view.machine.ready_count):
            tenant = view.ready[k]
            if view.heads[tenant].remaining_cycles < view.heads[best].remaining_cycles:
                best = tenant
        return best


    POLICY = PolicySpec("mine", choose, "least remaining time first", options=Options)

It is selected as ``./mine.py``, or by name through an entry point of the group ``layerweaver.policies`` that
names the ``POLICY`` attribute; the shipped policies register in the same way.

``choose`` is called whenever a row is to be scheduled and returns the tenant whose head request goes on: one
of the first ``view.machine.ready_count`` entries of ``view.ready`` (ascending; at least one), or ``HOLD`` to
schedule nothing: it is asked again at cycle ``view.machine.hold_until`` if it set one, and at the latest when
a request arrives, a batch timer expires or the last compute ends. It is compiled
by numba together with the engine and must therefore stay within plain arithmetic, loops and calls of other
plain functions (for example those of :mod:`layerweaver.scheduler.machine.timelines`, which append a row
tentatively). It sets ``view.machine.mode`` to say why it chose. A policy that overlaps requests has the
option ``commit`` beside its own: with ``late``, the default, it is shown only heads that need not wait for
the compute engine (:mod:`layerweaver.scheduler.rules.commitment`). Nothing else may be written, except what
it declares to remember, by classes whose fields are annotated ``int`` or ``float``::

    class Waited:
        turns: int


    POLICY = PolicySpec("mine", choose, "...", memory=Waited)  # choose uses memory.tenants[tenant].turns

Memory starts at zero and persists from decision to decision.

Times are int64 cycles, amounts of data are scaled bytes: see
:class:`~layerweaver.scheduler.machine.view.View`,
:class:`~layerweaver.scheduler.machine.view.Machine` and
:class:`~layerweaver.scheduler.machine.view.Head` for the fields.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import PolicyError
from layerweaver.ir.plugins import asked_of_others
from layerweaver.ir.spelling import nearest
from layerweaver.scheduler.machine.jit import modules_of
from layerweaver.scheduler.machine.records import declared, record_type, records
from layerweaver.scheduler.machine.view import HOLD, NEVER, Fetch, Head, Machine, Memory, View
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies.options import Option, as_stated, options_of, within
from layerweaver.scheduler.rules.commitment import EARLY, LATE, SPARING

__all__ = [
    "HOLD",
    "NEVER",
    "Fetch",
    "Head",
    "Machine",
    "Memory",
    "NoOptions",
    "Policy",
    "PolicySpec",
    "View",
    "within",
]

Commitment = Literal["late", "early"]

FILE_MODULE = "layerweaver_policy_"
"""Policy files are modules of such names."""


@dataclass(frozen=True, slots=True)
class NoOptions:
    """For a policy without options."""


class Nothing:
    """For a policy that remembers nothing."""


def _never(_options: Any) -> bool:
    return False


def _asked(of: str, policy: str, call: Callable[[], Any]) -> Any:
    """What a function of a policy gives, outside of compiled code."""
    return asked_of_others(of, call, PolicyError, f"policy {policy}")


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A policy before its options are chosen.

    Attributes:
        name: How it is selected, in kebab case.
        choose: The decision, see the module.
        summary: One line for listings.
        source: Where the rule comes from.
        options: Frozen dataclass; every field has a default and is an int, a float, a bool, an IntEnum
            (stated by its members' names in lower case, given to ``choose`` as their numbers) or a Literal of
            strings (given as its index). A field ``x_us`` (``_ns``, ``_ms``) is also given as ``x_cycles``.
        modes: Names of the reasons for a choice; index 0 is the one when ``choose`` sets nothing. A mode that
            is taken to meet a deadline is called ``deadline``.
        overlap: Whether the fetch of one request may run under the computes of another. If not, a request's
            first fetch after another one's rows waits for their last compute, and a new request is
            chosen only then.
        commit: Default of the option ``commit``, which policies that overlap requests have: ``late`` shows
            compute-intensive heads only when the compute engine will soon need them, ``early`` shows all.
        holds_itself: Whether ``choose`` sees every head even if it commits late, and holds by itself.
        spares_tightest: Whether, committing late, a tenant far tighter than all others is not held where
            others would compute meanwhile for longer (:mod:`layerweaver.scheduler.rules.commitment`).
        checkpoints: Whether leaving an unfinished request costs the DMA the time to save its live bytes.
        memory: What is remembered of every tenant: a class with annotated fields.
        common: What is remembered beside, of no tenant: another such class.
        lone_mode: Mode in which a tenant is chosen that is the only one declared, if it is chosen whenever
            it has a request, whatever the machine does: a language model then needs not ask for every row.
            None if it may have to wait, or may be chosen in several modes.
        prepare: From the tenants' profiles (per tenant, one per batch size) to what ``choose`` finds under
            ``memory.tables``: a NamedTuple of int64 arrays, built once before the run.
        by_group: Whether ``prepare`` also gets the declared groups, as sequences of tenant indices.
        drops_hopeless: From the options: whether a request that can no longer meet its deadline even alone is
            dropped before it starts, for every tenant.
        defers_hopeless: From the options: whether requests of a tenant that can no longer be in time even
            alone are served after those that can.
        heeds_backlog: Whether a request counts as one of these, too, that could be in time alone, but not
            behind what is committed.
    """

    name: str
    choose: Callable[..., int]
    summary: str
    source: str = ""
    options: type = NoOptions
    modes: tuple[str, ...] = ("chosen",)
    overlap: bool = True
    commit: Commitment = "late"
    holds_itself: bool = False
    spares_tightest: bool = False
    checkpoints: bool = False
    memory: type = Nothing
    common: type = Nothing
    lone_mode: int | None = None
    prepare: Callable[..., Any] | None = None
    by_group: bool = False
    drops_hopeless: Callable[[Any], bool] = field(default=_never)
    defers_hopeless: Callable[[Any], bool] = field(default=_never)
    heeds_backlog: bool = False

    def configure(self, **given: object) -> Policy:
        """Check options and make a policy that can run.

        Raises:
            PolicyError: If an option does not exist (with the nearest name), or has a wrong type or value.
        """
        known = self.known_options()
        values = {name: option.default for name, option in known.items()}
        for name, value in given.items():
            if name not in known:
                raise PolicyError(
                    f"has no option {name!r}",
                    where=f"policy {self.name}",
                    accepted=nearest(name, list(known), "known"),
                )
            values[name] = known[name].checked(f"policy {self.name}, option {name}", value)
        commit = values.pop("commit", "early")
        made = Policy(self, self.options(**values), commit)
        _asked("drops_hopeless", self.name, lambda: self.drops_hopeless(made.options))
        _asked("defers_hopeless", self.name, lambda: self.defers_hopeless(made.options))
        return made

    def known_options(self) -> dict[str, Option]:
        """Every option by its name.

        Raises:
            PolicyError: If the policy declares what is no option.
        """
        own = options_of(self.options, f"policy {self.name}")
        words = {word: word for word in get_args(Commitment)}
        return own | ({"commit": Option("commit", None, words, self.commit)} if self.overlap else {})


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy with its options: what the engine runs.

    Attributes:
        spec: The policy.
        options: Its own options.
        commit: Whether it commits rows late or early (always early without overlap).
    """

    spec: PolicySpec
    options: Any
    commit: Commitment = "early"

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.spec.name

    def as_options(self) -> dict[str, str | int | float]:
        """Every option with its value."""
        commit = {"commit": self.commit} if self.spec.overlap else {}
        own = {
            item.name: as_stated(getattr(self.options, item.name))
            for item in dataclasses.fields(self.options)
        }
        return {**own, **commit}

    def as_dict(self) -> dict[str, object]:
        """Name and options, as a scenario would state them."""
        return {"name": self.name, **self.as_options()}

    @property
    def file(self) -> Path | None:
        """The file it was read from; None if it is registered under its name."""
        module = self.spec.choose.__module__
        return Path(str(sys.modules[module].__file__)) if module.startswith(FILE_MODULE) else None

    @property
    def files(self) -> list[Path]:
        """The file it was read from and those that define what it calls; none of the package's own."""
        if self.file is None:
            return []
        modules = modules_of(cast(FunctionType, self.spec.choose))
        others = [sys.modules[name] for name in modules if not name.startswith(("layerweaver.", FILE_MODULE))]
        return [self.file, *(Path(str(module.__file__)) for module in others)]

    def record(self, clock_hz: int) -> NDArray[Any]:
        """The options as ``choose`` gets them: shape (1,), one field per option and per time in cycles."""
        late = self.commit == "late"
        hiding = SPARING if self.spec.spares_tightest else 1
        given: dict[str, float | int] = {
            "commit": LATE if late else EARLY,
            "hides": hiding if late and not self.spec.holds_itself else 0,
        }
        for name, option in options_of(self.spec.options, f"policy {self.name}").items():
            given.update(option.given(getattr(self.options, name), clock_hz))
        fields = [
            (name, np.float64 if isinstance(value, float) else np.int64) for name, value in given.items()
        ]
        return np.array([tuple(given.values())], dtype=declared(fields)).view(np.recarray)

    def memory(
        self,
        tenants: Sequence[Sequence[ModelProfile]],
        groups: Sequence[Sequence[int]] = (),
        *,
        compiled: bool = True,
    ) -> Memory:
        """Memory at the start of a run, and the tables.

        Args:
            tenants: Per tenant, one profile per batch size.
            groups: Declared groups, as sequences of tenant indices.
            compiled: Whether it is for compiled code.
        """
        spec = self.spec
        own = records(record_type(spec.memory), len(tenants), compiled=compiled)
        common = records(record_type(spec.common), 1, compiled=compiled)[0]
        if spec.prepare is None:
            return Memory(own, common, ())
        prepare, given = spec.prepare, (tenants, *((groups,) if spec.by_group else ()))
        return Memory(own, common, _asked("prepare", self.name, lambda: prepare(*given)))
