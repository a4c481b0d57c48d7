"""Runtimes for code that blocks: a runtime by its name, jobs whose starter waits, coroutines that never wait."""

import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.wrappers.runtimes.base import Job, Runtime
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime
from spec_envs.wrappers.runtimes.threads import ThreadRuntime


def make_runtime(runtime: str | Runtime) -> Runtime:
    """Return a new runtime of that name, or ``runtime`` itself if it is a runtime already.

    Raises:
        InvalidConfiguration: The name is neither "threads" nor "simulation", or ``runtime`` is no runtime.
    """
    if not isinstance(runtime, str | type) and hasattr(runtime, "spawn"):
        return runtime
    if runtime == "threads":
        return ThreadRuntime()
    if runtime == "simulation":
        return SimulationRuntime()
    hint = "; AsyncSpeculativeWrapper is for asyncio" if runtime == "asyncio" else ""
    raise InvalidConfiguration(f"runtime must be 'threads', 'simulation' or a runtime object, not {runtime!r}{hint}")


def check_made_anew(runtime: object, each: str) -> None:
    """Raise ``InvalidConfiguration`` where ``runtime`` is no name and makes none: ``each`` needs a new one."""
    if not isinstance(runtime, str) and not callable(runtime):
        raise InvalidConfiguration(
            f"runtime must be a name, or a callable that makes a runtime for each {each}, not {runtime!r:.80}"
        )


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


Result = TypeVar("Result")


def run_blocking(coroutine: Coroutine[Any, Any, Result], refusal: str) -> Result:
    """Return the result of a coroutine whose awaits all block instead of waiting for an event loop.

    So code that is written once, as a coroutine function, serves blocking callers too.

    Raises:
        InvalidConfiguration: The coroutine waits for an event loop; ``refusal`` is the text of the error.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    coroutine.close()
    raise InvalidConfiguration(refusal)
