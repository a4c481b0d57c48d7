"""Executions of ``READ`` calls that others may share: those in flight, and those lately done."""

from __future__ import annotations

import collections
from collections.abc import Hashable

from spec_envs.calls import Call, Effect
from spec_envs.wrappers.speculation.tree.nodes import Run, RunState


class SharedReads:
    """At most one execution of equal ``READ`` calls at a time, also when the branch that began it is gone."""

    def __init__(self, ttl_s: float, max_reads: int) -> None:
        self._ttl_s = ttl_s
        self._max_reads = max_reads
        self._runs: collections.OrderedDict[Hashable, Run] = collections.OrderedDict()

    def find(self, call: Call, now: float) -> Run | None:
        """An execution whose response ``call`` may have too."""
        if call.effect is not Effect.READ:
            return None
        run = self._runs.get(call.key)
        if run is None or run.state is RunState.RUNNING:
            return run
        if run.state is RunState.DONE and now - run.ended_at <= self._ttl_s:
            return run
        del self._runs[call.key]
        return None

    def add(self, run: Run) -> None:
        """Offer ``run`` for sharing, when it is a ``READ``. Forgets the oldest finished ones beyond the bound."""
        if run.call.effect is not Effect.READ:
            return
        self._runs[run.call.key] = run
        done = [key for key, other in self._runs.items() if not other.in_flight]
        for key in done[: max(0, len(done) - self._max_reads)]:
            del self._runs[key]

    def drop(self, run: Run) -> None:
        """Do not share ``run`` any more."""
        if self._runs.get(run.call.key) is run:
            del self._runs[run.call.key]

    def orphans(self) -> list[Run]:
        """Executions in flight that no node waits for, oldest first."""
        return [run for run in self._runs.values() if run.state is RunState.RUNNING and not run.nodes]

    def touched_by(self, write: Call) -> list[Run]:
        """Forget, and return, all executions whose results ``write`` may make stale."""
        stale = [run for run in self._runs.values() if run.call.conflicts(write)]
        for run in stale:
            self.drop(run)
        return stale

    def clear(self) -> list[Run]:
        """Forget, and return, everything."""
        runs = list(self._runs.values())
        self._runs.clear()
        return runs
