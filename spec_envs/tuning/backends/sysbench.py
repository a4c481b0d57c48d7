"""The ``sysbench`` backend: Debian's sysbench on the CPU, its threads with the slice that was set. Needs no root."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from gymnasium.error import DependencyNotInstalled

from spec_envs.calls import Effect
from spec_envs.errors import EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.system import scheduler as sched
from spec_envs.tuning.system.cores import LEAST_SHARE, CoreSet, Places, core_sets, cpu_ns, undisturbed
from spec_envs.tuning.system.load import watch
from spec_envs.tuning.workloads.round_robin import SLICE

if TYPE_CHECKING:
    from spec_envs.tuning.knobs import Knob

__all__ = ["SysbenchBackend", "SysbenchCpu", "read_output"]

#: Becomes the command, on its cores from the start, as the threads are that it starts; ends with process argv[1].
_PINNED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):  # else that has died before
    os.sched_setaffinity(0, map(int, sys.argv[2].split(",")))
    os.execv(sys.argv[3], sys.argv[3:])
"""
_TICK_S = 0.005
_SPARE_S = 30.0
#: Share of a run during which its CPU time is watched: it ends at its own time.
_WATCHED = 0.9
_ROW = re.compile(r"^\s*(\d+(?:\.\d+)?) \|[* ]*\s(\d+)\s*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class SysbenchCpu:
    """``sysbench cpu``: an event tests all numbers up to ``max_prime`` for being prime.

    Attributes:
        threads: For each core.
        max_prime: About 0.2 ms with 10000 (sysbench's default), 9 ms with 150000; it grows a little faster.
    """

    threads: int = 4
    max_prime: int = 10_000

    def __post_init__(self) -> None:
        for name, least in (("threads", 1), ("max_prime", 3)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidConfiguration(f"{name} must be an integer of at least {least}, not {value!r}")

    @property
    def name(self) -> str:
        """Such as "sysbench cpu, 4 threads, primes to 10000"."""
        return f"sysbench cpu, {self.threads} threads, primes to {self.max_prime}"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The slice."""
        return (SLICE,)


class SysbenchBackend:
    """Measures ``SysbenchCpu``: a fresh run for each window, pinned to its cores, the slice set on each thread.

    sysbench counts in whole seconds and from its start, so a window is rounded to seconds and nothing of it is left
    out for settling; a fresh run has nothing to settle from.

    Args:
        workload: What runs unless the user says otherwise.
        cores: How many cores one measurement uses.

    Raises:
        DependencyNotInstalled: There is no sysbench.
        InvalidConfiguration: The kernel is older than 6.12, or there are not so many cores.
    """

    effect = Effect.SAMPLE
    carries_over = False

    def __init__(self, workload: Workload | None = None, *, cores: int = 1) -> None:
        sched.check_kernel()
        path = shutil.which("sysbench")
        if path is None:
            raise DependencyNotInstalled(
                'backend="sysbench" runs sysbench; on Debian or Ubuntu run: apt-get install sysbench; '
                'backend="eevdf" measures the same knob without it'
            )
        self.workload: SysbenchCpu = _sysbench(workload or SysbenchCpu())
        self._path = path
        sets = core_sets(cores)
        self._places = Places(sets)
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False
        self.max_inflight = len(sets)

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """Run sysbench once.

        Raises:
            CallCancelled: Nobody waits for it any more.
            HandlerFailed: It failed, or its output cannot be read.
            EnvClosed: The backend was closed.
        """
        workload = _sysbench(query.workload)
        slice_ns = round(float(dict(query.knobs)[SLICE.name]) * 1e6)
        seconds = max(1, round(query.window_s))
        with self._places.lend(cancel) as cores:
            seen = watch()
            metrics, attempts = undisturbed(lambda: self._run(workload, cores, slice_ns, seconds, cancel))
            return Measurement(metrics, seen(), attempts)

    def best(self, workload: Workload) -> float | None:
        """Nothing is known of it."""
        return None

    def close(self) -> None:
        """Start no run any more, and end those that are under way. Idempotent."""
        self._closed = True
        self._places.close()
        for process in tuple(self._running):
            process.kill()

    def _run(self, workload: SysbenchCpu, cores: CoreSet, slice_ns: int, seconds: int, cancel: CancelToken) -> Metrics:
        threads = workload.threads * len(cores)
        options = [f"--threads={threads}", f"--time={seconds}", "--events=0", f"--cpu-max-prime={workload.max_prime}"]
        pinned = [sys.executable, "-I", "-S", "-c", _PINNED, str(os.getpid()), ",".join(map(str, cores))]
        command = [*pinned, self._path, "cpu", *options, "--histogram=on", "run"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            cancel.on_cancel(process.kill)
            self._running.add(process)
            try:
                if self._closed:  # meanwhile, when it was not among those to end
                    process.kill()
                try:
                    used_ns = _watched(process, threads, slice_ns, seconds)
                except (OSError, HandlerFailed):  # a thread has gone, and with it what could be asked
                    if not _ends(process, _TICK_S):
                        raise
                    used_ns = 0.0
                output, _ = process.communicate(timeout=seconds + _SPARE_S)
            finally:
                self._running.discard(process)
                process.kill()
        cancel.raise_if_cancelled()
        if self._closed:
            raise EnvClosed("the backend was closed; make a new one")
        if process.returncode != 0:
            raise HandlerFailed(f"sysbench ended with code {process.returncode}: {output[-500:]}")
        share = min(1.0, used_ns / (seconds * 1e9) / len(cores))
        return dataclasses.replace(read_output(output), cpu_share=share, valid=share >= LEAST_SHARE)


def _watched(process: subprocess.Popen[str], threads: int, slice_ns: int, seconds: int) -> float:
    """Give each thread the slice as soon as it is there; the CPU time in ns that all used in ``seconds``."""
    given: set[int] = set()
    while len(given) <= threads and not _ends(process, _TICK_S):  # one more: the main thread waits for the others
        for tid in set(sched.tids_of(process.pid)) - given:
            sched.set_slice(tid, slice_ns)
            given.add(tid)
    begin, used = time.monotonic_ns(), cpu_ns(process.pid)
    if _ends(process, seconds * _WATCHED):
        return 0.0
    passed = time.monotonic_ns() - begin
    return (cpu_ns(process.pid) - used) / passed * seconds * 1e9


def _ends(process: subprocess.Popen[str], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def read_output(output: str) -> Metrics:
    """The figures that ``sysbench --histogram=on`` prints.

    Raises:
        HandlerFailed: They are not there.
    """
    rows = [(float(value), int(count)) for value, count in _ROW.findall(output)]
    mean, longest = (_figure(output, rf"^\s*{name}:\s*(\d+(?:\.\d+)?)\s*$") for name in ("avg", "max"))
    seconds = _figure(output, r"^\s*total time:\s*(\d+(?:\.\d+)?)s\s*$")
    events = _figure(output, r"^\s*total number of events:\s*(\d+)\s*$")
    if not rows or not events:
        raise HandlerFailed(f"sysbench printed no events: {output[-500:]!r}")
    p50, p95, p99 = (_percentile(rows, share) for share in (0.50, 0.95, 0.99))
    return Metrics(p50, p95, p99, max(longest, p99), mean, events / seconds, 0.0, True)


def _figure(output: str, pattern: str) -> float:
    found = re.search(pattern, output, re.MULTILINE)
    if found is None:
        raise HandlerFailed(f"sysbench printed nothing that looks like {pattern}: {output[-500:]!r}")
    return float(found[1])


def _percentile(rows: list[tuple[float, int]], share: float) -> float:
    left = share * sum(count for _, count in rows)
    for value, count in rows:
        left -= count
        if left <= 0:
            return value
    return rows[-1][0]


def _sysbench(workload: Workload) -> SysbenchCpu:
    if not isinstance(workload, SysbenchCpu):
        raise InvalidConfiguration(f"the sysbench backend runs a SysbenchCpu, not {workload!r}")
    return workload
