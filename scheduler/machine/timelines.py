"""The machine of the paper as two timelines, in exact integer arithmetic (LW III-C).

One DMA engine and one compute engine each work strictly in schedule order. Times are cycles. Amounts of
data are *scaled bytes*, bytes times the denominator of the bandwidth, so that the machine moves a whole
number of them per cycle (``rate``); only the end of a fetch is rounded, up.

The functions are plain Python over records and compile under numba as they stand. The list of fetched
layers whose compute is not done lives in a ring of :class:`Fetch` records and is never rescanned:

- ``before_scaled`` counts what was appended before an entry, so that the space free once the entries
  before it completed is ``A_j = buffer - appended + before_j``. The end of a fetch needs only the leading
  entries with ``A_j`` below its weight.
- The smallest ``before_j - done_j * rate`` of all live entries is kept in a monotone queue (``window``),
  shared by all candidates of a decision. *Ours*; equal to the definition by rescanning.
- An entry without weight is dominated by its successor and is replaced by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from layerweaver.scheduler.machine.jit import counted, inlined
from layerweaver.scheduler.machine.view import Head, View

__all__ = ["WITHOUT_ROOM", "append_fetch", "fetch_end_of", "rebase", "recount", "release"]


@inlined
def fetch_end_of(view: View, head: Head) -> int:
    """End of the fetch of a head's next row if it starts at ``machine.start`` (LW Fig. 9).

    ``max(s + ceil(D/b), max over entries j with W > A_j of c_j + ceil((W - A_j)/b))``
    """
    machine, fetches = view.machine, view.fetches
    latest = machine.start + head.fetch_cycles
    if head.weight_scaled <= machine.free_scaled:
        return latest
    needed = head.weight_scaled - machine.buffer_scaled + machine.appended_scaled
    position = machine.first
    while position < machine.last:
        entry = fetches[counted(position & machine.mask)]
        missing = needed - entry.before_scaled
        if missing <= 0:
            break
        latest = max(latest, entry.done + (missing + machine.rate - 1) // machine.rate)
        position += 1
    return latest


@inlined
def release(view: View) -> None:
    """Drop what completed by ``machine.start``; set ``free_scaled`` and ``room_scaled``."""
    machine, fetches = view.machine, view.fetches
    first, last, mask = machine.first, machine.last, machine.mask
    start = machine.start
    while first < last and fetches[counted(first & mask)].done <= start:
        first += 1
    machine.first = first
    if first == last:
        # Nothing counts from the origin any more; after a long pause, products of the time since it overflow.
        machine.appended_scaled = 0
        machine.origin = start
        machine.free_scaled = machine.buffer_scaled
    else:
        unused = machine.buffer_scaled - machine.appended_scaled
        machine.free_scaled = unused + fetches[counted(first & mask)].before_scaled
    find_room(view)


@inlined
def find_room(view: View) -> None:
    """Set ``room_scaled``, from the smallest key of the live entries."""
    machine, fetches, mask = view.machine, view.fetches, view.machine.mask
    if machine.first == machine.last:
        machine.window_first = machine.window_last
        machine.room_scaled = machine.buffer_scaled
        return
    window_first = machine.window_first
    while fetches[counted(window_first & mask)].window < machine.first:
        window_first += 1
    machine.window_first = window_first
    smallest = fetches[counted(fetches[counted(window_first & mask)].window & mask)].key
    fetched_by_then = (machine.compute_end - machine.origin) * machine.rate
    machine.room_scaled = machine.buffer_scaled - machine.appended_scaled + smallest + fetched_by_then


@inlined
def append_fetch(view: View, weight_scaled: int, done: int) -> None:
    """Append a fetched row that completes at ``done``; there must be a free slot."""
    machine, fetches = view.machine, view.fetches
    last, mask = machine.last, machine.mask
    before = machine.appended_scaled
    if last > machine.first and fetches[counted((last - 1) & mask)].before_scaled == before:
        last -= 1
    entry = fetches[counted(last & mask)]
    entry.before_scaled = before
    entry.done = done
    machine.last = last + 1
    machine.appended_scaled = before + weight_scaled
    note_key(view, last)


@inlined
def note_key(view: View, position: int) -> None:
    """Give the newest entry its key, and drop from the monotone queue what is no smaller."""
    machine, fetches, mask = view.machine, view.fetches, view.machine.mask
    entry = fetches[counted(position & mask)]
    key = entry.before_scaled - (entry.done - machine.origin) * machine.rate
    entry.key = key
    window_last = machine.window_last
    while window_last > machine.window_first:
        smaller = fetches[counted((window_last - 1) & mask)].window
        if fetches[counted(smaller & mask)].key < key:
            break
        window_last -= 1
    fetches[counted(window_last & mask)].window = position
    machine.window_last = window_last + 1


def recount(view: View) -> None:
    """Count the keys of all live entries anew, and their monotone queue."""
    machine = view.machine
    machine.window_first = machine.window_last = 0
    for position in range(machine.first, machine.last):
        note_key(view, position)


def rebase(view: View, origin: int) -> None:
    """Count from a new origin and from the oldest live entry, so that counters never overflow."""
    machine, fetches = view.machine, view.fetches
    position, last, mask = machine.first, machine.last, machine.mask
    dropped = machine.appended_scaled
    if position < last:
        dropped = fetches[counted(position & mask)].before_scaled
    move_keys(view, (origin - machine.origin) * machine.rate - dropped)
    while position < last:
        fetches[counted(position & mask)].before_scaled -= dropped
        position += 1
    machine.appended_scaled -= dropped
    machine.origin = origin


def move_keys(view: View, shift: int) -> None:
    """Add to the keys of all live entries."""
    machine, fetches = view.machine, view.fetches
    for position in range(machine.first, machine.last):
        fetches[counted(position & machine.mask)].key += shift


def _no_room(view: View) -> None:
    """Stands for :func:`find_room` where no policy reads ``room_scaled``."""


def _no_key(view: View, position: int) -> None:
    """Stands for :func:`note_key` there."""


def _no_shift(view: View, shift: int) -> None:
    """Stands for :func:`move_keys` there."""


WITHOUT_ROOM: Mapping[str, Callable[..., Any]] = {
    "find_room": _no_room,
    "note_key": _no_key,
    "move_keys": _no_shift,
}
"""What is left out under policies that do not read ``room_scaled``."""
