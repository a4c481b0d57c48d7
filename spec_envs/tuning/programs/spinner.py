"""A program (see ``program.py``): forks tasks that spin on pinned cores, and tells how long their events took.

Its arguments are the number of tasks on a core, and the cores. First it says the tasks' ``pids``. An order has
``service_ns``, ``settle_s`` and ``window_s``; the answer ``latencies_ns`` and ``cpu_share``. The tasks end with it.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import mmap
import os
import select
import signal
import sys
import time
from typing import Any, NamedTuple, TextIO

from spec_envs.tuning.programs.wire import Orders, run, say, serve

_PR_SET_PDEATHSIG = 1
_TICK_S = 0.1
_CPU_CLOCK = 2  # of a process: CPUCLOCK_SCHED


class Task(NamedTuple):
    """A forked task as its parent sees it: where to write orders, and to read answers."""

    pid: int
    orders: int
    answers: int


def spin(service_ns: int) -> None:
    """Use exactly so much CPU time."""
    begin = time.thread_time_ns()
    while time.thread_time_ns() - begin < service_ns:
        pass


def work(orders: int, answers: int, number: int, done: mmap.mmap) -> None:
    """Carry out orders until there are none. ``done`` has a byte for each task, and one that says stop."""
    with open(orders, closefd=False) as lines, open(answers, "w", closefd=False) as out:
        for line in lines:
            service_ns, count_from, count_until = json.loads(line)
            latencies = []
            while True:
                begin = time.monotonic_ns()
                spin(service_ns)
                end = time.monotonic_ns()
                if count_from <= begin < count_until:
                    latencies.append(end - begin)
                if end >= count_until:
                    done[number] = 1
                # A task that is done keeps the core busy until all are: the last events take as long as the others.
                if done[-1] or all(done[:-1]):
                    break
            out.write(json.dumps(latencies) + "\n")
            out.flush()


def start(core: int, number: int, done: mmap.mmap) -> Task:
    """Fork a task that runs on ``core`` only and does not outlive this process."""
    orders, answers = os.pipe(), os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(orders[0])
        os.close(answers[1])
        return Task(pid, orders[1], answers[0])
    try:
        os.dup2(orders[0], 0)  # with the pipes of this process it would keep open what should end with it
        os.dup2(answers[1], 1)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:  # else it has died before it could be told
            os.sched_setaffinity(0, {core})
            work(orders[0], answers[1], number, done)
    finally:
        os._exit(0)


def cpu_ns(tasks: list[Task]) -> int:
    """CPU time of all tasks so far."""
    return sum(time.clock_gettime_ns((~task.pid << 3) | _CPU_CLOCK) for task in tasks)


class Host:
    """The tasks, and windows as they are ordered."""

    def __init__(self, tasks: int, cores: list[int]) -> None:
        self._orders = Orders()
        self._cores = len(cores)
        self._done = mmap.mmap(-1, tasks * len(cores) + 1)
        numbered = enumerate(itertools.product(cores, range(tasks)))
        self._tasks = [start(core, number, self._done) for number, (core, _) in numbered]
        self._answers = [open(task.answers) for task in self._tasks]

    def run(self) -> None:
        """Say who the tasks are, and serve."""
        say({"pids": [task.pid for task in self._tasks]})
        serve(self._orders, self.window)

    def window(self, order: dict[str, Any]) -> dict[str, Any]:
        """Let all tasks spin for a window; ``cpu_share`` is of the part after settling."""
        self._done[:] = bytes(len(self._done))
        begin = time.monotonic_ns()
        count_from, count_until = (begin + round(order[name] * 1e9) for name in ("settle_s", "window_s"))
        for task in self._tasks:
            os.write(task.orders, f"[{order['service_ns']}, {count_from}, {count_until}]\n".encode())
        stopped = self._orders.wait(count_from)
        used, at = cpu_ns(self._tasks), time.monotonic_ns()
        stopped = stopped or self._orders.wait(count_until)
        used, passed = cpu_ns(self._tasks) - used, time.monotonic_ns() - at
        self._done[-1] = stopped
        latencies = [latency for answers in self._answers for latency in json.loads(self._heard(answers))]
        return {"latencies_ns": latencies, "cpu_share": used / max(passed, 1) / self._cores}

    def _heard(self, answers: TextIO) -> str:
        """A task's answer. Should any task have died the others wait for it, and there is nothing left to do."""
        while not select.select([answers], [], [], _TICK_S)[0]:
            if os.waitpid(-1, os.WNOHANG)[0]:
                os._exit(1)
        return answers.readline() or os._exit(1)


if __name__ == "__main__":
    run(lambda: Host(int(sys.argv[1]), [int(core) for core in sys.argv[2:]]).run())
