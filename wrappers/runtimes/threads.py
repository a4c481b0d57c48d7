"""The thread runtime: blocking handlers on the wall clock.

The authoritative call runs in the caller's own thread, just as without speculation. Everything else runs on worker
threads. A worker is made when none is idle, so the limits on calls and guesses in flight bound the number of workers.
"""

from __future__ import annotations

import collections
import queue
import threading
import time
from collections.abc import Callable

from spec_envs.handling import CancelToken
from spec_envs.wrappers.runtimes.base import Job, outcome_of, warn_of_stuck

_IDLE_S = 10.0
_CLOSE_S = 10.0


class ThreadRuntime:
    """Runs an episode on the wall clock, with worker threads that end when they are idle or closed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._delivered = threading.Condition(self.lock)
        self._guard = threading.Lock()
        self._idle: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._lessons: collections.deque[Callable[[], None]] = collections.deque()
        self._learning = False
        self._closed = False

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def token(self) -> CancelToken:
        """Return a new token on the wall clock."""
        return CancelToken()

    def spawn(self, job: Job) -> None:
        """Run ``job`` on a worker."""
        with self._guard:
            if self._closed:
                raise RuntimeError(f"the runtime was closed; {job.name} cannot start")
            if self._idle:
                self._idle.pop().inbox.put(job)
                return
            worker = _Worker(self, job)
            self._workers.add(worker)
        worker.start()

    def run(self, job: Job) -> None:
        """Run ``job`` in the calling thread."""
        value, error = outcome_of(job)
        job.deliver(value, error)
        if error is not None and not isinstance(error, Exception):
            raise error  # Ctrl-C in the caller's thread ends the call, and goes on to the caller

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
            workers = tuple(self._workers)
            for worker in workers:
                worker.inbox.put(None)
        deadline = self.now() + (_CLOSE_S if patience_s is None else patience_s)
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join(max(0.0, deadline - self.now()))
        warn_of_stuck((worker.job_name for worker in workers if worker.is_alive()), "their cancel token")

    def _rest(self, worker: _Worker) -> None:
        with self._guard:
            if not self._closed:
                self._idle.append(worker)

    def _leave(self, worker: _Worker) -> bool:
        """Take ``worker`` out, if it is still idle. Return whether it may end."""
        with self._guard:
            if worker not in self._idle:
                return False
            self._idle.remove(worker)
            self._workers.discard(worker)
            return True


class _Worker(threading.Thread):
    def __init__(self, runtime: ThreadRuntime, job: Job) -> None:
        super().__init__(name=f"speculation-{job.name}", daemon=True)
        self.inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.job_name = job.name
        self._runtime = runtime
        self.inbox.put(job)

    def run(self) -> None:
        while True:
            try:
                job = self.inbox.get(timeout=_IDLE_S)
            except queue.Empty:
                if self._runtime._leave(self):
                    return
                continue
            if job is None:
                return
            self.job_name = job.name
            value, error = outcome_of(job)
            self._runtime._rest(self)  # idle before it delivers, so that the delivery can give it the next job
            job.deliver(value, error)
