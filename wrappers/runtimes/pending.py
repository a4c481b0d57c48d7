"""Jobs whose starter waits for them, on any runtime that blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from spec_envs.handling import CancelToken
from spec_envs.wrappers.runtimes.base import Job, Runtime


@dataclasses.dataclass(slots=True, eq=False)
class Pending:
    """A job that was started, and its outcome once it is ``done``."""

    token: CancelToken
    done: bool = False
    value: Any = None
    error: BaseException | None = None

    def result(self) -> Any:
        """Return what the job has returned, or raise what it has raised."""
        if self.error is not None:
            raise self.error
        return self.value

    def give_up(self) -> None:
        """Cancel the job, unless it is done."""
        if not self.done:
            self.token.cancel()


class PendingJobs:
    """Starts jobs on one runtime, and waits for them there."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._delivered = 0

    def spawn(self, name: str, function: Callable[[CancelToken], Any]) -> Pending:
        """Start ``function`` beside the caller."""
        pending, job = self._job(name, function)
        self._runtime.spawn(job)
        return pending

    def run(self, name: str, function: Callable[[CancelToken], Any]) -> Any:
        """Run ``function`` for the caller, and return its result."""
        pending, job = self._job(name, function)
        self._runtime.run(job)
        self.wait_for(pending, None)
        return pending.result()

    def wait_for(self, pending: Pending, until: float | None, other: Pending | None = None) -> bool:
        """Wait until ``pending`` or ``other`` is done, or until the time ``until``. Return whether ``pending`` is."""
        with self._runtime.lock:
            while not pending.done and not (other is not None and other.done):
                before, expired = self._delivered, until is not None and self._runtime.now() >= until
                self._runtime.wait(until)  # also when expired: what is due now is delivered
                if expired and self._delivered == before:
                    break
            return pending.done

    def _job(self, name: str, function: Callable[[CancelToken], Any]) -> tuple[Pending, Job]:
        pending = Pending(self._runtime.token())

        def deliver(value: Any, error: BaseException | None) -> None:
            with self._runtime.lock:
                pending.done, pending.value, pending.error = True, value, error
                self._delivered += 1
                self._runtime.wake()

        return pending, Job(name, function, deliver, pending.token)
