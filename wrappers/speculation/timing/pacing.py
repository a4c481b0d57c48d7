"""Measures where the time of a wrapper goes, cycle by cycle, for ``guard`` and ``control``."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import Any, NamedTuple

from spec_envs.call_env import Answer
from spec_envs.calls import Call
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.speculation.ledger import Ledger
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.timing.control import Controls
from spec_envs.wrappers.speculation.timing.cycles import Cycle
from spec_envs.wrappers.speculation.timing.guard import Guard, Mode
from spec_envs.wrappers.speculation.transitions import AnyEnv, Method, Transition, run_answered

#: Plain steps are measured together until they have taken this long, or until there are this many, because measuring a
#: single step can take longer than the step.
_SHORT_S, _MOST_STEPS = 10e-3, 16


class _Sums(NamedTuple):
    """Sums since the wrapper was made."""

    time_s: float = 0.0  # the time on the runtime's clock
    cpu_s: float = 0.0  # how long this process has computed
    inside_s: float = 0.0  # the time inside the wrapper
    elsewhere_s: float = 0.0  # the part of ``inside_s`` spent waiting, or in the code of the real environment
    calls_s: float = 0.0  # how long the calls took whose responses the episode has used, or that have failed
    commits: int = 0  # the number of responses that became final


class Pacing:
    """A stopwatch for ``reset``, ``act`` and ``step`` (``with pacing:``), and the cycles that follow from it.

    Args:
        runtime: Gives the clock.
        ledger: Knows how long the episode waited for calls.
        guard: Told of each cycle; ``None``: only the time is measured, without cycles.

    Attributes:
        inside_s: The time inside the wrapper, in seconds.
        environment_s: The part of this time in the code of the real environment, without its waits for calls.
        is_settled: Whether no call or guesser of an earlier cycle is left over in this cycle.
    """

    def __init__(self, runtime: Runtime, ledger: Ledger, guard: Guard | None) -> None:
        self.inside_s = self.environment_s = 0.0
        self.guard = guard
        self.controls = Controls() if guard is None else Controls(guard.idle_cpu)
        self._runtime = runtime
        self._now = runtime.now
        self._ledger = ledger
        self._asked_s = 0.0
        self._since: float | None = None
        self._before = _Sums()
        self._num_steps, self._most_steps = 0, 1  # steps since then, and the number at which the cycle ends
        self.is_settled = False

    def __enter__(self) -> None:
        self._since = self._now()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._since is not None:
            self.inside_s += self._now() - self._since
            self._since = None

    def run(self, env: AnyEnv, method: Method, answer: Answer) -> Transition:
        """Run ``method`` on the real environment and count its time, less the time of ``answer`` (of ``asking``)."""
        began, asked = self._now(), self._asked_s
        try:
            return run_answered(env, method, answer)
        finally:
            self.environment_s += self._now() - began - (self._asked_s - asked)

    def timed(self, method: Method) -> Method:
        """``method`` with its time counted. For runs on the real environment to its end, without waiting for calls."""

        def timed(env: AnyEnv) -> Transition:
            began = self._now()
            transition = method(env)
            self.environment_s += self._now() - began
            return transition

        return timed

    def asking(self, answer: Answer) -> Answer:
        """``answer`` with its time counted, so that it does not count as the environment's own time."""
        now = self._now

        def asked(call: Call) -> Any:
            began = now()
            try:
                return answer(call)
            finally:
                self._asked_s += now() - began

        return asked

    def end_reset(self, *, is_leftover: bool) -> None:
        """A reset has ended: an episode and its first cycle begin."""
        if (guard := self.guard) is None:
            return
        before = self._before
        now = self._before = self._sums()
        if guard.mode is Mode.AHEAD:
            guard.lost(max(0.0, now.inside_s - before.inside_s - now.elsewhere_s + before.elsewhere_s))
        self.begin_cycle(is_settled=not is_leftover or guard.mode is Mode.AHEAD)

    def begin_cycle(self, *, is_settled: bool) -> None:
        """The next step is the first step of a cycle; ``is_settled``: with no call or guesser left over."""
        self.is_settled, self._num_steps = is_settled, 0
        is_plain = self.guard is not None and self.guard.mode is Mode.PLAIN
        self._most_steps = _MOST_STEPS if is_settled and is_plain else 1

    def ends_cycle(self, *, is_last: bool) -> bool:
        """A step has ended; return whether a cycle has ended with it. ``is_last``: so has the episode."""
        self._num_steps += 1
        return is_last or self._num_steps >= self._most_steps or self._now() - self._before.time_s >= _SHORT_S

    def end_cycle(self, *, is_warm: bool) -> None:
        """A cycle has ended: tell the guard, which decides on the next cycle."""
        guard, steps, before = self.guard, self._num_steps, self._before
        assert guard is not None
        now = self._before = self._sums()
        inside_s = now.inside_s - before.inside_s
        cycle = Cycle(
            inside_s / steps,
            (now.calls_s - before.calls_s) / steps,
            (now.commits - before.commits) / steps,
            max(0.0, inside_s - now.elsewhere_s + before.elsewhere_s) / steps,
            (now.cpu_s - before.cpu_s) / max(1e-9, now.time_s - before.time_s),
            guard.mode is Mode.AHEAD,
            self.is_settled,
            steps,
        )
        self.controls.add(cycle)
        guard.ended(cycle, is_warm=is_warm, is_late=self._runtime.is_late)

    def add_to(self, statistics: Statistics) -> Statistics:
        """``statistics`` with the times of this object."""
        guard = self.guard
        return dataclasses.replace(
            statistics,
            inside_s=self._sums().inside_s,
            environment_s=self.environment_s,
            control=None if guard is None else self.controls.figure(),
            guard="none" if guard is None else guard.mode.value,
        )

    def _sums(self) -> _Sums:
        self._ledger.settle()
        now, ledger, since = self._now(), self._ledger, self._since
        return _Sums(
            now,
            self._runtime.cpu_s(),
            self.inside_s if since is None else self.inside_s + now - since,
            ledger.waited_s + self.environment_s,
            ledger.sequential_s + ledger.failed_s,
            ledger.commits,
        )
