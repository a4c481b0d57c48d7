"""A program (see ``process.py``) that forks tasks, lets them spin on pinned cores, and reports their latencies.

The arguments are the number of tasks on each core, and the cores. The first line has the tasks' ``pids``. An order has
``service_ns``, ``settle_s`` and ``window_s``; the answer has ``latencies_ns`` and ``cpu_share``. The tasks end with the
program.
"""

import itertools
import json
import mmap
import os
import select
import sys
import time
from typing import Any, NamedTuple, TextIO

from spec_envs.tuning.programs.wire import Orders, cpu_ns, end_with_parent, run, say, serve, window_ns

_TICK_S = 0.1


class Task(NamedTuple):
    """A forked task: its process id, and the file descriptors for its orders and answers."""

    pid: int
    orders: int
    answers: int


def spin(service_ns: int) -> None:
    """Use ``service_ns`` of CPU time."""
    begin = time.thread_time_ns()
    while time.thread_time_ns() - begin < service_ns:
        pass


def work(orders: int, answers: int, number: int, done: mmap.mmap) -> None:
    """Carry out orders until their end. ``done`` has a byte for each task, and a last byte that tells all to stop."""
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
                # A task that is done spins on until all are, so that the last events compete for the core as well.
                if done[-1] or all(done[:-1]):
                    break
            out.write(json.dumps(latencies) + "\n")
            out.flush()


def start(core: int, number: int, done: mmap.mmap) -> Task:
    """Fork a task that runs on ``core`` alone and ends with this process."""
    orders, answers = os.pipe(), os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(orders[0])
        os.close(answers[1])
        return Task(pid, orders[1], answers[0])
    try:
        os.dup2(orders[0], 0)  # the task must not keep the pipes of this program open
        os.dup2(answers[1], 1)
        end_with_parent()
        if os.getppid() == parent:  # otherwise the parent has ended before prctl
            os.sched_setaffinity(0, {core})
            work(orders[0], answers[1], number, done)
    finally:
        os._exit(0)


class Host:
    """Starts the tasks, and lets them work in the windows that are ordered."""

    def __init__(self, tasks: int, cores: list[int]) -> None:
        self._orders = Orders()
        self._cores = len(cores)
        self._done = mmap.mmap(-1, tasks * len(cores) + 1)
        numbered = enumerate(itertools.product(cores, range(tasks)))
        self._tasks = [start(core, number, self._done) for number, (core, _) in numbered]
        self._answers = [open(task.answers) for task in self._tasks]

    def run(self) -> None:
        """Report the tasks, and serve."""
        say({"pids": [task.pid for task in self._tasks]})
        serve(self._orders, self.window)

    def window(self, order: dict[str, Any]) -> dict[str, Any]:
        """Let all tasks spin for a window; ``cpu_share`` is that of the time after settling."""
        self._done[:] = bytes(len(self._done))
        begin = time.monotonic_ns()
        count_from, count_until = window_ns(order, begin)
        for task in self._tasks:
            os.write(task.orders, f"[{order['service_ns']}, {count_from}, {count_until}]\n".encode())
        stopped = self._orders.wait(count_from)
        used, at = self._cpu_ns(), time.monotonic_ns()
        stopped = stopped or self._orders.wait(count_until)
        used, passed = self._cpu_ns() - used, time.monotonic_ns() - at
        self._done[-1] = stopped
        latencies = [latency for answers in self._answers for latency in json.loads(self._heard(answers))]
        return {"latencies_ns": latencies, "cpu_share": used / max(passed, 1) / self._cores}

    def _cpu_ns(self) -> int:
        return sum(cpu_ns(task.pid) for task in self._tasks)

    def _heard(self, answers: TextIO) -> str:
        """The answer of a task. If a task has died, this program ends, since the others would wait for it."""
        while not select.select([answers], [], [], _TICK_S)[0]:
            if os.waitpid(-1, os.WNOHANG)[0]:
                os._exit(1)
        return answers.readline() or os._exit(1)


if __name__ == "__main__":
    run(lambda: Host(int(sys.argv[1]), [int(core) for core in sys.argv[2:]]).run())
