"""Where the time of a wrapper goes, cycle by cycle: what ``guard`` and ``control`` are told."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import Any

from spec_envs.call_env import Answer
from spec_envs.calls import Call
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.speculation.control import Controls
from spec_envs.wrappers.speculation.cycles import Cycle
from spec_envs.wrappers.speculation.guard import Guard, Mode
from spec_envs.wrappers.speculation.ledger import Ledger
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.transitions import AnyEnv, Method, Transition


class Pacing:
    """A stopwatch for ``reset``, ``act`` and ``step`` (``with pacing:``), and the cycles that follow from it.

    Args:
        runtime: Its clock is read.
        ledger: Knows how long calls were waited for.
        guard: Is told of each cycle; ``None``: there are no cycles, only time.

    Attributes:
        inside_s: Seconds inside the wrapper.
        is_settled: Whether nothing of a cycle before is left over in this one.
        environment_s: Seconds of it in the code of the real environment, without what the environment waited for.
    """

    def __init__(self, runtime: Runtime, ledger: Ledger, guard: Guard | None) -> None:
        self.inside_s = self.environment_s = 0.0
        self.guard = guard
        self.controls = Controls()
        self._runtime = runtime
        self._ledger = ledger
        self._asked_s = 0.0
        self._since: float | None = None
        self._before = (0.0, 0.0, 0.0, 0.0, 0)
        self._began = (0.0, 0.0)
        self.is_settled = False

    def __enter__(self) -> None:
        self._since = self._runtime.now()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._since is not None:
            self.inside_s += self._runtime.now() - self._since
            self._since = None

    def timed(self, method: Method) -> Method:
        """``method``, with the time counted that it takes on the real environment, without that of ``asking``."""
        now = self._runtime.now

        def timed(env: AnyEnv) -> Transition:
            began, asked = now(), self._asked_s
            try:
                return method(env)
            finally:
                self.environment_s += now() - began - (self._asked_s - asked)

        return timed

    def asking(self, answer: Answer) -> Answer:
        """``answer``, whose time is not the environment's own."""
        now = self._runtime.now

        def asked(call: Call) -> Any:
            began = now()
            try:
                return answer(call)
            finally:
                self._asked_s += now() - began

        return asked

    def end_reset(self, *, is_leftover: bool) -> None:
        """An episode has begun, and with it a cycle."""
        if (guard := self.guard) is None:
            return
        inside, waited, _, environment, _ = (new - old for new, old in zip(self._sums(), self._before, strict=True))
        if guard.mode is Mode.AHEAD:
            guard.lost(max(0.0, inside - waited - environment))
        self._before, self._began = self._sums(), (self._runtime.now(), self._runtime.cpu_s())
        self.is_settled = not is_leftover or guard.mode is Mode.AHEAD

    def end_cycle(self, *, is_warm: bool) -> None:
        """A cycle has ended; the guard's mode is that of the next one."""
        guard = self.guard
        assert guard is not None
        after, began = self._sums(), (self._runtime.now(), self._runtime.cpu_s())
        inside, waited, calls, environment, commits = (new - old for new, old in zip(after, self._before, strict=True))
        cycle = Cycle(
            inside,
            calls,
            int(commits),
            max(0.0, inside - waited - environment),
            (began[1] - self._began[1]) / max(1e-9, began[0] - self._began[0]),
            guard.mode is Mode.AHEAD,
            self.is_settled,
        )
        self._before, self._began = after, began
        self.controls.add(cycle)
        guard.ended(cycle, is_warm=is_warm, is_late=self._runtime.is_late)

    def add_to(self, statistics: Statistics) -> Statistics:
        """``statistics`` with the times of this object."""
        guard = self.guard
        return dataclasses.replace(
            statistics,
            inside_s=self._sums()[0],
            environment_s=self.environment_s,
            control=None if guard is None else self.controls.figure(),
            guard="none" if guard is None else guard.mode.value,
        )

    def _sums(self) -> tuple[float, float, float, float, int]:
        inside = self.inside_s + (0.0 if self._since is None else self._runtime.now() - self._since)
        ledger = self._ledger
        return inside, ledger.waited_s, ledger.sequential_s, self.environment_s, ledger.counts[0]
