"""What a runtime offers the driver: a clock, jobs that run beside the episode, and a way to wait for them.

There are three: ``threads`` (blocking handlers, the wall clock), ``tasks`` (async handlers, an event loop) and
``simulation`` (one thread, a virtual clock).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from spec_envs.handling import CancelToken


class Job:
    """A function to run with a token, and where to deliver what becomes of it.

    ``deliver(value, error)`` is called once, when the function has returned or raised; in a runtime's own thread, if it
    has any. The function of a job that ``is_async`` gives a coroutine.
    """

    __slots__ = ("deliver", "function", "is_async", "name", "token")

    def __init__(
        self,
        name: str,
        function: Callable[[CancelToken], Any],
        deliver: Callable[[Any, BaseException | None], None],
        token: CancelToken,
        is_async: bool = False,
    ) -> None:
        self.name = name
        self.function = function
        self.deliver = deliver
        self.token = token
        self.is_async = is_async


class Runtime(Protocol):
    """Where calls run, and by which clock."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held by the driver while it touches the tree; re-entrant."""
        ...

    def now(self) -> float:
        """Seconds on this runtime's clock."""
        ...

    def token(self) -> CancelToken:
        """A new token on this runtime's clock."""
        ...

    def spawn(self, job: Job) -> None:
        """Run ``job`` beside the episode."""

    def run(self, job: Job) -> None:
        """Run ``job`` for the caller, who waits for it anyway."""

    def meanwhile(self, token: CancelToken, event: Callable[[], None]) -> None:
        """For a job with ``token``, from inside it: ``event`` happens now. It may happen after the job's end."""

    def learn(self, task: Callable[[], None]) -> None:
        """Run ``task`` beside the episode, after all tasks given before it."""

    def wait(self, until: float | None) -> None:
        """Return once something was delivered, or at the time ``until``. Called with the lock held."""

    def wake(self) -> None:
        """Something was delivered: whoever waits should look."""

    def close(self) -> None:
        """End every thread. Idempotent."""
