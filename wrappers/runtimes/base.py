"""The interface of a runtime: a clock, jobs that run beside the episode, and a way to wait for them.

There are three runtimes: ``threads`` (blocking handlers, the wall clock), ``asyncio`` (async handlers, an event loop)
and ``simulation`` (one thread, a virtual clock). The speculation tree's driver, ``wrappers.tools`` and
``LastWriteWins`` run, await and cancel all their calls on them.
"""

import contextvars
import dataclasses
import dis
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from spec_envs.errors import HandlerFailed
from spec_envs.handling import CancelToken


def is_interrupt(error: BaseException) -> bool:
    """Whether ``error`` is the user's Ctrl-C: in the main thread, and raised by the interpreter, not by a statement."""
    if not isinstance(error, KeyboardInterrupt) or threading.current_thread() is not threading.main_thread():
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is None or dis.opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] != "RAISE_VARARGS"


class contained:  # used as contextlib.suppress is; a generator would cost as much as a fork does
    """Turn a guesser's ``SystemExit`` into an error; Ctrl-C goes through.

    Raises:
        HandlerFailed: In place of the signal.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, signal: BaseException | None, trace: object) -> None:
        if isinstance(signal, (SystemExit, KeyboardInterrupt, GeneratorExit)) and not is_interrupt(signal):
            raise HandlerFailed(f"it raised {signal!r}, which would have ended the program") from signal


@dataclasses.dataclass(slots=True, eq=False)
class Job:
    """A function to run with a token, and where to deliver its outcome. Never changed.

    Args:
        name: A name for threads and messages.
        function: ``function(token)``: does the job. It returns a coroutine if ``is_async``.
        deliver: ``deliver(value, error)``: called once, when the function has returned or raised; in one of the
            runtime's own threads, if the runtime has any.
        token: The token of the job; cancelling it tells the function to stop.
        is_async: Whether an event loop has to run the function.
    """

    name: str
    function: Callable[[CancelToken], Any]
    deliver: Callable[[Any, BaseException | None], None]
    token: CancelToken
    is_async: bool = False
    #: The context variables of whoever has started the job, since worker threads have none of their own: the precision
    #: of ``decimal`` and numpy's treatment of errors are such variables.
    context: contextvars.Context = dataclasses.field(default_factory=contextvars.copy_context)


def outcome_of(job: Job) -> tuple[Any, BaseException | None]:
    """Run the job's function here. Return what it returns, and what it raises."""
    try:
        return job.function(job.token), None
    except BaseException as raised:
        return None, raised


def warn_of_stuck(jobs: Iterable[str], ignored: str) -> None:
    """Warn of cancelled jobs that have ``ignored`` the cancelling and still run."""
    if names := sorted(jobs):
        message = f"{len(names)} call(s) ignore {ignored} and still run after close(): {', '.join(names)}"
        warnings.warn(message, RuntimeWarning, stacklevel=3)


class Runtime(Protocol):
    """Where calls run, and by which clock."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held while the state that jobs deliver to is used; re-entrant."""
        ...

    def now(self) -> float:
        """Seconds on this runtime's clock."""
        ...

    @property
    def is_late(self) -> bool:
        """Whether the event loop, if there is one, runs due tasks late."""
        ...

    def cpu_s(self) -> float:
        """Seconds that this process has computed, on any CPU."""
        ...

    def token(self) -> CancelToken:
        """Return a new token on this runtime's clock."""
        ...

    def spawn(self, job: Job) -> None:
        """Run ``job`` beside the episode."""

    def run(self, job: Job) -> None:
        """Run ``job`` for the caller, who waits for the job anyway."""

    def run_here(self, function: Callable[[CancelToken], Any], token: CancelToken) -> Any:
        """Run ``function`` with ``token`` for the caller, whose thread it has, and return what it returns."""
        ...

    def meanwhile(self, token: CancelToken, event: Callable[[], None]) -> None:
        """Have ``event`` happen now. Called from inside the job with ``token``, which may end before the event."""

    def learn(self, task: Callable[[], None]) -> None:
        """Run ``task`` beside the episode, after all tasks given before it."""

    def wait(self, until: float | None) -> None:
        """Return once something was delivered, or at the time ``until``. Called with the lock held."""

    def wake(self) -> None:
        """Wake all waiters, because something was delivered."""

    def close(self) -> None:
        """End every thread. Idempotent."""
