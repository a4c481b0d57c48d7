"""The thread runtime: blocking handlers on the wall clock.

The authoritative call runs in the caller's own thread, just as without speculation. Everything else runs on worker
threads. A worker is made when none is idle, so the limits on calls and guesses in flight bound the number of workers.
"""

import collections
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from spec_envs.handling import CancelToken
from spec_envs.pickling import NotPicklable
from spec_envs.wrappers.runtimes.base import Job, outcome_of, warn_of_stuck

_IDLE_S = 10.0
#: How long ``close`` waits for workers, counted from the last end of any worker of a closed runtime: where thousands of
#: them end at once, the machine is busy, and no handler ignores its token; and how long ``close`` waits at most.
_CLOSE_S, _MOST_CLOSE_S = 10.0, 60.0
#: A worker is named for its latest job.
_PREFIX = "speculation-"


class ThreadRuntime(NotPicklable):
    """Runs an episode on the wall clock, with worker threads that end when they are idle or closed."""

    #: When a worker of any closed runtime of this process has ended last.
    _closed_at = 0.0

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._delivered = threading.Condition(self.lock)
        self._guard = threading.Lock()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._workers: set[threading.Thread] = set()
        #: How many of the workers have no job, and none on its way.
        self._num_idle = 0
        self._lessons: collections.deque[Callable[[], None]] = collections.deque()
        self._learning = False
        self._closed = False

    #: Seconds on the monotonic clock.
    now = staticmethod(time.monotonic)

    @property
    def is_late(self) -> bool:
        """Never: there is no event loop."""
        return False

    #: Seconds that this process has computed, on any CPU.
    cpu_s = staticmethod(time.process_time)

    def token(self) -> CancelToken:
        """Return a new token on the wall clock."""
        return CancelToken()

    def spawn(self, job: Job) -> None:
        """Run ``job`` on a worker."""
        with self._guard:
            if self._closed:
                raise RuntimeError(f"the runtime was closed; {job.name} cannot start")
            if self._num_idle:
                self._num_idle -= 1
                self._jobs.put(job)
                return
            worker = threading.Thread(target=self._work, args=(job,), name=_PREFIX + job.name, daemon=True)
            self._workers.add(worker)
        worker.start()

    def run(self, job: Job) -> None:
        """Run ``job`` in the calling thread."""
        value, error = outcome_of(job)
        job.deliver(value, error)
        if error is not None and not isinstance(error, Exception):
            raise error  # Ctrl-C in the caller's thread ends the call, and goes on to the caller

    def run_here(self, function: Callable[[CancelToken], Any], token: CancelToken) -> Any:
        """Call ``function``."""
        return function(token)

    def meanwhile(self, token: CancelToken, event: Callable[[], None]) -> None:
        """Have ``event`` happen at once, in this thread."""
        event()

    def learn(self, task: Callable[[], None]) -> None:
        """Run ``task`` on a worker, after the tasks given before."""
        with self._guard:
            self._lessons.append(task)
            if self._learning or self._closed:
                return
            self._learning = True
        self.spawn(Job("observe", self._learn, lambda value, error: None, CancelToken()))

    def _learn(self, cancel: CancelToken) -> None:
        while True:
            with self._guard:
                if not self._lessons:
                    self._learning = False
                    return
                task = self._lessons.popleft()
            task()

    def wait(self, until: float | None) -> None:
        """Wait for a delivery, or until the time ``until``."""
        self._delivered.wait(None if until is None else max(0.0, until - self.now()))

    def wake(self) -> None:
        """Wake all waiters."""
        with self._delivered:
            self._delivered.notify_all()

    def close(self, patience_s: float | None = None) -> None:
        """End the workers, and wait for them. A worker whose handler ignores its token is left with a warning."""
        with self._guard:
            self._closed = True
            workers = [worker for worker in self._workers if worker.ident]  # Ctrl-C may come before a worker starts
            for _ in workers:
                self._jobs.put(None)
        begun, patience_s = self.now(), _CLOSE_S if patience_s is None else patience_s
        for worker in workers:
            while worker.is_alive() and worker is not threading.current_thread():
                until = min(max(begun, ThreadRuntime._closed_at) + patience_s, begun + _MOST_CLOSE_S)
                if (left := until - self.now()) <= 0:
                    break
                worker.join(left)
        stuck = (worker.name.removeprefix(_PREFIX) for worker in workers if worker.is_alive())
        warn_of_stuck(stuck, "their cancel token")

    def _work(self, job: Job | None) -> None:
        """Run a worker, from its first job until the worker is idle for long or the runtime is closed."""
        while job is not None:
            threading.current_thread().name = _PREFIX + job.name
            value, error = job.context.copy().run(outcome_of, job)  # what it sets there is its own
            with self._guard:
                self._num_idle += 1  # before the worker delivers, so that the delivery can give it the next job
            job.context.run(job.deliver, value, error)  # which may start jobs, with the same variables
            job = self._next_job()
        if self._closed:
            ThreadRuntime._closed_at = self.now()

    def _next_job(self) -> Job | None:
        while True:
            try:
                return self._jobs.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._guard:
                    if self._num_idle:  # otherwise a job is on its way
                        self._num_idle -= 1
                        self._workers.remove(threading.current_thread())
                        return None
