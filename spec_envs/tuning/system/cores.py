"""Cores, and places on them: measurements made side by side must not disturb each other."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from spec_envs.errors import EnvClosed, InvalidConfiguration

if TYPE_CHECKING:
    from spec_envs.handling import CancelToken
    from spec_envs.tuning.measurement import Metrics

__all__ = ["LEAST_SHARE", "CoreSet", "Places", "core_sets", "cpu_ns", "undisturbed"]

#: A window during which a workload had less of its cores' time was spoiled by something foreign.
LEAST_SHARE = 0.95
#: How often a window is measured until it is valid.
_ATTEMPTS = 3
_CPU_CLOCK = 2  # of a process: CPUCLOCK_SCHED

CoreSet = tuple[int, ...]
PlaceT = TypeVar("PlaceT")

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def core_sets(size: int) -> list[CoreSet]:
    """As many disjoint sets of ``size`` cores as there are, of those that this process may use.

    Of the hardware threads that share one core, only the first is used: the others would disturb it.

    Raises:
        InvalidConfiguration: There are not so many cores.
    """
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    cores = [core for core in usable if core == min(_siblings(core) & set(usable))]
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= len(cores):
        raise InvalidConfiguration(
            f"cores must be an integer from 1 to {len(cores)}, as many as there are, not {size!r}"
        )
    return [tuple(cores[first : first + size]) for first in range(0, len(cores) - size + 1, size)]


def _siblings(core: int) -> set[int]:
    try:
        text = Path(_SIBLINGS.format(core)).read_text()
    except OSError:
        return {core}
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found | {core}


def cpu_ns(pid: int) -> int:
    """CPU time of a process so far, all of its threads together."""
    return time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK)


def undisturbed(measure: Callable[[], Metrics]) -> tuple[Metrics, int]:
    """What ``measure`` gives when it is valid, or the third time at the latest; and how often it was called."""
    metrics, attempts = measure(), 1
    while not metrics.valid and attempts < _ATTEMPTS:
        metrics, attempts = measure(), attempts + 1
    return metrics, attempts


class Places(Generic[PlaceT]):
    """Lends each of a few places to one call at a time; a call that finds none free waits for its turn.

    A call that nobody waits for any more gives up its turn. ``SpeculativeWrapper`` keeps branches from taking the place
    that the committed one needs, by the handler's ``max_inflight``.
    """

    def __init__(self, places: Sequence[PlaceT]) -> None:
        self._free = list(places)
        self._changed = threading.Condition()
        self._closed = False

    @contextlib.contextmanager
    def lend(self, cancel: CancelToken) -> Iterator[PlaceT]:
        """A place, for the time of the ``with`` block.

        Raises:
            CallCancelled: The call was cancelled while it waited.
            EnvClosed: ``close()`` was called.
        """
        cancel.on_cancel(self._wake)
        with self._changed:
            self._changed.wait_for(lambda: self._free or cancel.cancelled or self._closed)
            cancel.raise_if_cancelled()
            if self._closed:
                raise EnvClosed("the backend was closed; make a new one")
            place = self._free.pop(0)
        try:
            yield place
        finally:
            with self._changed:
                self._free.insert(0, place)
                self._changed.notify_all()

    def close(self) -> None:
        """Lend nothing any more."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
