"""The asyncio runtime: a task for every call of an async handler, on the event loop where the wrapper is awaited.

Cancelling a call cancels its task. Handlers and guessers that are plain functions would block the loop, so they run on
worker threads, as in the thread runtime; their calls end when they return. The authoritative call has a task of its
own too, so that cancelling the task that awaits the wrapper does not cancel the call.
"""

import asyncio
import contextlib
import inspect
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Self

from spec_envs.errors import CallCancelled, InvalidConfiguration
from spec_envs.handling import CancelToken, Handler, TaskToken, answered, is_async, running_loop
from spec_envs.pickling import NotPicklable
from spec_envs.wrappers.runtimes.base import Job, is_interrupt, outcome_of, warn_of_stuck
from spec_envs.wrappers.runtimes.threads import ThreadRuntime

_CLOSE_S = 10.0
#: A loop is late if woken tasks lately waited longer than this for their turn; and the weight of the last wait.
_LATE_S, _NEW = 5e-3, 0.2


def _nobody() -> None:
    return None


#: A task of each loop that was not cancelled when it was seen: to look at all tasks takes long on a full loop.
_witnesses: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Callable[[], asyncio.Task[Any] | None]]
_witnesses = weakref.WeakKeyDictionary()


class _Lateness:
    """How long woken tasks of one loop lately waited for their turn."""

    _of: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Self]] = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        self.mean_s = 0.0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Self:
        """The lateness of ``loop``: a runtime with few calls learns from all other runtimes that the loop is late."""
        return cls._of.setdefault(loop, cls())

    def add(self, seconds: float) -> None:
        """A woken task has waited for ``seconds``."""
        self.mean_s += _NEW * (seconds - self.mean_s)


class AsyncioRuntime(NotPicklable):
    """Runs an episode on the event loop in which it is first used."""

    def __init__(self) -> None:
        # Nearly everything happens on the loop; but lessons of guessers that are plain functions end on worker threads.
        self.lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._made_threads: ThreadRuntime | None = None
        self._open: set[Job] = set()
        self._tasks: set[asyncio.Future[Any]] = set()  # the loop itself has only weak references to tasks
        self._given_up: set[asyncio.Future[Any]] = set()  # those of them that the runtime has cancelled itself
        self._waiters: set[asyncio.Future[None]] = set()
        self._woken_at = 0.0
        self._lateness: _Lateness | None = None
        #: Whether no job can start any more: the runtime was closed, or its loop is being shut down.
        self.is_closed = False

    @property
    def _threads(self) -> ThreadRuntime:
        """Made when a plain function is to be called first."""
        if self._made_threads is None:
            self._made_threads = ThreadRuntime()
        return self._made_threads

    def _end_threads(self, patience_s: float | None = None) -> None:
        if self._made_threads is not None:
            self._made_threads.close(patience_s)

    def turn(self) -> asyncio.Lock:
        """What lets one task at a time use the episode, in ``async with``.

        Raises:
            InvalidConfiguration: The runtime was first used in another event loop.
        """
        if asyncio.get_running_loop() is not self.own_loop():
            raise InvalidConfiguration("this wrapper belongs to another event loop; make one in the loop that uses it")
        return self._turn

    def now(self) -> float:
        """Seconds on the loop's clock; on asyncio's usual clock where no loop has used the runtime yet."""
        if self._loop is None and asyncio._get_running_loop() is None:
            return time.monotonic()
        return (self._loop or self.own_loop()).time()

    @property
    def is_late(self) -> bool:
        """Whether woken tasks have to wait for the loop, since it has too much to do."""
        return self._lateness is not None and self._lateness.mean_s > _LATE_S

    def cpu_s(self) -> float:
        """Seconds that this process has computed, on any CPU."""
        return time.process_time()

    def token(self) -> TaskToken:
        """Return a new token on the loop's clock."""
        return TaskToken(self.own_loop())

    def spawn(self, job: Job) -> None:
        """Run ``job`` in a task, or on a worker thread if it is a plain function."""
        if self.is_closed:
            raise RuntimeError(f"the runtime was closed; {job.name} cannot start")
        self._open.add(job)
        if job.is_async:
            self._follow(job, job.function(job.token))
        else:
            self._threads.spawn(Job(job.name, job.function, self._from_thread(job), job.token))

    def run(self, job: Job) -> None:
        """Like ``spawn``; the caller waits for the job with ``changed``."""
        self.spawn(job)

    async def call(self, name: str, handler: Handler, query: Any) -> Any:
        """Call ``handler`` outside of any episode, and return its response."""
        # The error is a part of the outcome, since a future refuses a StopIteration.
        answer: asyncio.Future[tuple[Any, BaseException | None]] = self.own_loop().create_future()
        token = self.token()

        def deliver(value: Any, error: BaseException | None) -> None:
            if not answer.done():
                answer.set_result((value, error))

        self.spawn(Job(name, lambda cancel: answered(handler, query, cancel), deliver, token, is_async(handler)))
        try:
            value, error = await answer
        except BaseException:
            token.cancel()
            raise
        if error is not None:
            raise error
        return value

    def run_here(self, function: Callable[[CancelToken], Any], token: CancelToken) -> Any:
        """Refuse to block the event loop.

        Raises:
            InvalidConfiguration: Always.
        """
        raise InvalidConfiguration("this runtime is awaited; use AsyncSpeculativeWrapper")

    def meanwhile(self, token: CancelToken, event: Callable[[], None]) -> None:
        """Have ``event`` happen on the loop."""
        if running_loop() is self._loop:
            event()
        else:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                self.own_loop().call_soon_threadsafe(event)

    def learn(self, task: Callable[[], None]) -> None:
        """Run ``task`` on a worker thread, after the tasks given before; not at all once the runtime is closed."""
        if self.is_closed:
            return
        lesson = Job("observe", lambda cancel: task(), lambda value, error: None, CancelToken())
        self._open.add(lesson)
        deliver = self._from_thread(lesson)
        self._threads.learn(lambda: deliver(*outcome_of(lesson)))

    def wait(self, until: float | None) -> None:
        """Refuse to block the event loop.

        Raises:
            InvalidConfiguration: Always.
        """
        raise InvalidConfiguration("this runtime is awaited; use AsyncSpeculativeWrapper")

    async def changed(self, until: float | None) -> None:
        """Wait until something was delivered, or until the time ``until``."""
        loop = self.own_loop()
        waiter = loop.create_future()
        self._waiters.add(waiter)
        alarm = None if until is None else loop.call_at(until, self.wake)
        try:
            await waiter
            self._lateness = self._lateness or _Lateness.of(loop)
            self._lateness.add(loop.time() - self._woken_at)
        finally:
            self._waiters.discard(waiter)
            if alarm is not None:
                alarm.cancel()

    def wake(self) -> None:
        """Wake all waiters."""
        if self._waiters:
            self._woken_at = self.own_loop().time()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Let no job start any more; ``ended`` waits for the jobs that have started."""
        self.is_closed = True
        self.wake()

    async def idle(self) -> None:
        """Wait until no job is under way, or the runtime is closed."""
        while self._open and not self.is_closed:
            await self.changed(None)

    async def ended(self) -> None:
        """Wait until all calls have returned, and end the threads. A call that does not end is left with a warning.

        This may also be awaited in another loop, once the runtime's own loop has ended, and its tasks with it.
        """
        if self.own_loop() is not asyncio.get_running_loop():
            self._open.clear()
            self._end_threads()
            return
        deadline = self.now() + _CLOSE_S
        while self._open and self.now() < deadline:
            await self.changed(deadline)
        self._end_threads(patience_s=0.0 if self._open else None)
        warn_of_stuck((job.name for job in self._open if job.is_async), "that they were cancelled")

    def own_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop that the runtime belongs to: the one of its first use."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    # -- jobs ----------------------------------------------------------------------------------------------------

    def _follow(self, job: Job, coroutine: Any) -> None:
        """Run ``coroutine`` in a task, whose outcome is the outcome of ``job``."""
        task = self.own_loop().create_task(_contained(coroutine))
        self._tasks.add(task)
        # A callback tells the end: a task that is cancelled before its first step runs no line of its own.
        task.add_done_callback(lambda done: self._ended(job, coroutine, done))
        job.token.on_cancel(lambda: self._give_up(task))

    def _give_up(self, task: asyncio.Future[Any]) -> None:
        if task.cancel():
            self._given_up.add(task)

    def _ended(self, job: Job, coroutine: Any, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        self._given_up.discard(task)
        if hasattr(coroutine, "close"):
            coroutine.close()  # it may not have begun
        if not task.cancelled():
            self._deliver(job, *task.result())
        elif job.token.cancelled:
            self._deliver(job, None, CallCancelled())
        else:
            self.is_closed = self.is_closed or not asyncio.all_tasks(self.own_loop())  # the last one, in a shutdown
            self._deliver(job, None, asyncio.CancelledError())

    def _from_thread(self, job: Job) -> Callable[[Any, BaseException | None], None]:
        """Return a function with which a worker delivers on the loop, if the loop still runs."""

        def deliver(value: Any, error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and nobody waits any more
                self.own_loop().call_soon_threadsafe(self._returned, job, value, error)

        return deliver

    def _returned(self, job: Job, value: Any, error: BaseException | None) -> None:
        if error is None and inspect.isawaitable(value):  # a plain function that has called a coroutine function
            self._follow(job, value)
        else:
            self._deliver(job, value, error)

    def _deliver(self, job: Job, value: Any, error: BaseException | None) -> None:
        # What is delivered while the loop shuts down must start nothing: nobody would cancel or await that task.
        self.is_closed = self.is_closed or self._is_shutting_down()
        self._open.discard(job)
        job.deliver(value, error)
        self.wake()

    def _is_shutting_down(self) -> bool:
        """Whether all tasks that are left on the loop have been cancelled, as ``asyncio.run`` does at its end."""
        if any(not waiter.done() for waiter in self._waiters):
            return False  # somebody waits and was not cancelled, so there is no need to look at all tasks
        witness = _witnesses.get(self.own_loop(), _nobody)()
        if witness is not None and not witness.done() and not witness.cancelling():
            return False
        left = asyncio.all_tasks(self.own_loop())
        # A task that was given up is no sign of a shutdown, unless it was cancelled once more.
        going_on = next((task for task in left if task.cancelling() <= (task in self._given_up)), None)
        if going_on is not None and not going_on.cancelling():
            _witnesses[self.own_loop()] = weakref.ref(going_on)
        return bool(left) and going_on is None


async def _contained(coroutine: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Return what ``coroutine`` returns, and what it raises: a task that raises ``SystemExit`` would end the loop."""
    try:
        return await coroutine, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        return None, error
