"""Executions of ``READ`` calls that equal calls may share: the executions in flight, and those lately done.

There is at most one execution of equal ``READ`` calls at a time, also when the branch that began it was discarded. An
execution that no node waits for is an *orphan*: it goes on until another call needs its slot.
"""

import collections
from collections.abc import Hashable

from spec_envs.calls import Call
from spec_envs.wrappers.speculation.tree.nodes import DONE, RUNNING, Run


class SharedReads:
    """Finds the run that an equal ``READ`` may share.

    Args:
        ttl_s: For how many seconds a result may be shared.
        max_reads: The number of results that are kept.
    """

    def __init__(self, ttl_s: float, max_reads: int) -> None:
        self._ttl_s = ttl_s
        self._max_reads = max_reads
        self._runs: dict[Hashable, Run] = {}
        self._done: collections.OrderedDict[Run, None] = collections.OrderedDict()
        self._orphans: dict[Run, None] = {}

    def find(self, call: Call, now: float) -> Run | None:
        """The run that the ``READ`` ``call`` may share, in flight or done; ``None`` if there is no such run."""
        run = self._runs.get(call.key)
        if run is None or run.state is RUNNING:
            return run
        if now - run.ended_at <= self._ttl_s:
            return run
        self._drop(run)
        return None

    def add(self, run: Run) -> None:
        """Offer ``run`` for sharing: it makes a ``READ``, and begins now."""
        self._runs[run.call.key] = run

    def ended(self, run: Run) -> None:
        """``run`` has ended: keep its result, but no failure, and forget the oldest result beyond ``max_reads``."""
        if not self._has(run):
            return
        self._orphans.pop(run, None)
        if run.state is not DONE:
            self._drop(run)
            return
        self._done[run] = None
        while len(self._done) > self._max_reads:
            self._drop(next(iter(self._done)))

    def keeps(self, run: Run) -> bool:
        """Whether ``run``, for which no node waits any more, may be shared. If it is in flight, it is now an orphan."""
        if not self._has(run):
            return False
        if run.in_flight:
            self._orphans[run] = None
        return True

    def is_awaited(self, run: Run) -> None:
        """A node waits for ``run`` (again)."""
        self._orphans.pop(run, None)

    def take_orphans(self) -> list[Run]:
        """Forget, and return, the runs in flight that no node waits for."""
        orphans = list(self._orphans)
        for run in orphans:
            self._drop(run)
        return orphans

    def take_touched_by(self, write: Call) -> list[Run]:
        """Forget, and return, the runs whose results ``write`` may make stale."""
        stale = [run for run in self._runs.values() if run.call.conflicts(write)]
        for run in stale:
            self._drop(run)
        return stale

    def clear(self) -> None:
        """Forget everything."""
        for run in tuple(self._runs.values()):
            self._drop(run)

    def _has(self, run: Run) -> bool:
        return self._runs.get(run.call.key) is run

    def _drop(self, run: Run) -> None:
        del self._runs[run.call.key]
        self._done.pop(run, None)
        self._orphans.pop(run, None)
