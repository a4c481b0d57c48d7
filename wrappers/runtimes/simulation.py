"""The simulation runtime: one thread, a virtual clock, the same handlers.

A handler runs at once when its call starts. The seconds of its ``cancel.sleep`` calls are only added up, and its
response is delivered when the virtual clock has advanced by their sum. So hours pass in milliseconds, and every run is
the same. Computing takes no virtual time; only sleeping does.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

from spec_envs.errors import HandlerFailed
from spec_envs.handling import CancelToken
from spec_envs.pickling import NotPicklable
from spec_envs.wrappers.runtimes.base import Job, is_interrupt, outcome_of

_INF = math.inf


class VirtualToken(CancelToken):
    """A token that counts the seconds of ``sleep`` without waiting for them.

    Attributes:
        name: The name of its job.
        deliver: Delivers the outcome of the job; ``None`` before there is one, and once it was delivered.
    """

    name = ""
    deliver: Callable[[], None] | None = None

    def __init__(self, runtime: SimulationRuntime) -> None:
        super().__init__()
        self._runtime = runtime
        self.elapsed_s = 0.0

    def cancel(self) -> None:
        """Tell the handler that its response is no longer wanted; a job that sleeps ends now. Idempotent."""
        if self.deliver is not None and not self._cancelled:
            self._runtime.deliver_now(self)
        super().cancel()

    def _now(self) -> float:
        return self._runtime.now() + self.elapsed_s

    def _wait(self, seconds: float) -> None:
        self.elapsed_s += seconds

    def _metered_at(self) -> float:  # not by the time up to which the handler has slept, which may be to come
        return self._runtime.now()


class SimulationRuntime(NotPicklable):
    """Runs an episode in virtual time. Wrappers that are used one after the other may share it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # nobody else takes it, but it costs less than a context that does nothing
        self._clock = 0.0
        self._sequence = itertools.count()
        self._due: list[tuple[float, int, _Due | VirtualToken]] = []

    def now(self) -> float:
        """Seconds of virtual time since the runtime was made."""
        return self._clock

    @property
    def is_late(self) -> bool:
        """Never: there is no event loop."""
        return False

    def cpu_s(self) -> float:
        """0: computing takes no virtual time."""
        return 0.0

    def token(self) -> VirtualToken:
        """Return a new token on the virtual clock."""
        return VirtualToken(self)

    def spawn(self, job: Job) -> None:
        """Compute the outcome of ``job`` now; deliver it at the virtual time of its end, or when it is cancelled."""
        token = job.token
        assert isinstance(token, VirtualToken)
        token.is_ahead = bool  # the handler runs now: it would wait for ever until the call is needed
        value, error = outcome_of(job)
        if error is not None and is_interrupt(error):  # the call has ended, and Ctrl-C goes on
            job.deliver(None, error)
            raise error
        token.name, token.deliver = job.name, functools.partial(job.deliver, value, error)
        self._schedule(self._clock + token.elapsed_s, token)
        if token.cancelled:
            self.deliver_now(token)

    def deliver_now(self, token: VirtualToken) -> None:
        """Deliver the outcome of the job with ``token`` before the clock goes on."""
        self._schedule(self._clock, token)

    def run(self, job: Job) -> None:
        """Like ``spawn``; the caller waits for the job with ``wait``."""
        self.spawn(job)

    def run_here(self, function: Callable[[CancelToken], Any], token: CancelToken) -> Any:
        """Call ``function``, and advance the clock by the seconds that it has slept, also where it raises."""
        assert isinstance(token, VirtualToken)
        try:
            return function(token)
        finally:
            self.advance(token.elapsed_s)

    def meanwhile(self, token: CancelToken, event: Callable[[], None]) -> None:
        """Have ``event`` happen at the virtual time up to which the job with ``token`` has slept."""
        assert isinstance(token, VirtualToken)
        self._schedule(self._clock + token.elapsed_s, _Due("meanwhile", event))

    def learn(self, task: Callable[[], None]) -> None:
        """Run ``task`` now."""
        task()

    def wait(self, until: float | None) -> None:
        """Advance the clock to the next delivery, or to ``until``.

        Raises:
            HandlerFailed: Nothing is left to deliver: the call that the episode waits for never returns.
        """
        limit, due = _INF if until is None else until, self._due
        while due and (at := due[0][0]) <= limit and at < _INF:
            if self._deliver_next():
                return
        if limit < _INF:
            self._clock = max(self._clock, limit)
        else:
            names = sorted({due.name for _, _, due in self._due if due.deliver is not None}) or ["none"]
            raise HandlerFailed(f"no call in flight ever returns in virtual time; in flight: {', '.join(names)}")

    def advance(self, seconds: float) -> None:
        """Advance the clock by ``seconds``, for example for a policy outside of the wrapper that thinks."""
        until = self._clock + seconds
        while self._due and self._due[0][0] <= until:
            self._deliver_next()
        self._clock = until

    def wake(self) -> None:
        """Do nothing: with one thread, nobody else waits."""

    def close(self) -> None:
        """Deliver everything that is due now, so that every cancelled call ends."""
        self.advance(0.0)

    def _schedule(self, at: float, due: _Due | VirtualToken) -> None:
        heapq.heappush(self._due, (at, next(self._sequence), due))

    def _deliver_next(self) -> bool:
        """Deliver what is due next. Return whether it was still undelivered: a cancelled job is delivered early."""
        at, _, due = heapq.heappop(self._due)
        # What was delivered is let go: its token refers to it, and it to its token, which only the collector would end.
        deliver, due.deliver = due.deliver, None
        if deliver is None:
            return False
        if at > self._clock:
            self._clock = at
        deliver()
        return True


@dataclasses.dataclass(slots=True)
class _Due:
    """An event of ``meanwhile``, to deliver once."""

    name: str
    deliver: Callable[[], None] | None  # ``None`` once it was delivered
