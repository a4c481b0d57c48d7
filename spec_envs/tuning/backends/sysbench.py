"""The ``sysbench`` backend: Debian's sysbench on the CPU, its threads with a chosen slice. Needs no root."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time

from gymnasium.error import DependencyNotInstalled

from spec_envs.calls import Effect
from spec_envs.checks import keep_integers
from spec_envs.closing import closed
from spec_envs.errors import HandlerFailed
from spec_envs.handling import CancelToken
from spec_envs.slots import Slots
from spec_envs.tuning.backends.protocol import LEAST_SHARE, MachineBackend, undisturbed, workload_for
from spec_envs.tuning.cores import CoreSet, core_sets
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.load import watch
from spec_envs.tuning.machine import check_kernel, set_slice, tids_of
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.wire import cpu_ns
from spec_envs.tuning.round_robin import SLICE, slice_ns


@dataclasses.dataclass(frozen=True, slots=True)
class SysbenchCpu:
    """``sysbench cpu``: an event tests all numbers up to ``max_prime`` for being prime.

    Attributes:
        threads: Threads on each core, at least 1.
        max_prime: The greatest number, at least 3. An event takes about 0.2 ms with 10000 (sysbench's default) and 9 ms
            with 150000; its time grows a little faster than the number.
    """

    threads: int = 4
    max_prime: int = 10_000

    def __post_init__(self) -> None:
        keep_integers(self, threads=1, max_prime=3)

    @property
    def name(self) -> str:
        """Such as "sysbench cpu, 4 threads, primes to 10000"."""
        return f"sysbench cpu, {self.threads} threads, primes to {self.max_prime}"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The scheduler slice."""
        return (SLICE,)


#: Pins itself to cores and then becomes the command, whose threads inherit the cores. Ends with process argv[1].
_PINNED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):  # otherwise that process has ended before prctl
    os.sched_setaffinity(0, map(int, sys.argv[2].split(",")))
    os.execv(sys.argv[3], sys.argv[3:])
"""
_TICK_S = 0.005
#: Seconds that a run may last beyond its time.
_SPARE_S = 30.0
#: Share of a run during which its CPU time is watched; afterwards the run may end at any moment.
_WATCHED = 0.9
_ROW = re.compile(r"^\s*(\d+(?:\.\d+)?) \|[* ]*\s(\d+)\s*$", re.MULTILINE)


class SysbenchBackend(MachineBackend):
    """Measures ``SysbenchCpu``: a fresh run for each window, pinned to its cores, with the slice set on each thread.

    sysbench counts whole seconds from its start. So a window is rounded to seconds, and all of it counts: a fresh run
    does not have to settle.

    Args:
        workload: The workload that runs if the user does not choose one.
        cores: How many cores one measurement uses.

    Raises:
        DependencyNotInstalled: sysbench is missing.
        InvalidConfiguration: The kernel is older than 6.12, or the machine has fewer cores.
    """

    effect = Effect.SAMPLE

    def __init__(self, workload: Workload | None = None, *, cores: int = 1) -> None:
        check_kernel()
        path = shutil.which("sysbench")
        if path is None:
            raise DependencyNotInstalled(
                'backend="sysbench" runs sysbench; on Debian or Ubuntu run: apt-get install sysbench; '
                'backend="eevdf" measures the same knob without it'
            )
        self.workload = workload_for("sysbench", SysbenchCpu, workload or SysbenchCpu())
        self._path = path
        sets = core_sets(cores)
        self._slots = Slots(sets, owner="the backend")
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False
        self.max_inflight = len(sets)

    def __call__(self, query: MeasureQuery, cancel: CancelToken | None = None) -> Measurement:
        """Run sysbench; run it again if the run was disturbed.

        Raises:
            CallCancelled: The call was cancelled meanwhile.
            HandlerFailed: sysbench failed, or its output cannot be read.
            EnvClosed: The backend was closed.
        """
        cancel = cancel or CancelToken()
        workload = workload_for("sysbench", SysbenchCpu, query.workload)
        slice_length, seconds = slice_ns(query.knobs), max(1, round(query.window_s))
        with self._slots.lend(cancel) as cores:
            seen = watch()
            metrics, attempts = undisturbed(lambda: self._run(workload, cores, slice_length, seconds, cancel))
            return Measurement(metrics, seen(), attempts)

    def close(self) -> None:
        """End all runs, and start no further ones. Idempotent."""
        self._closed = True
        self._slots.close()
        for process in tuple(self._running):
            process.kill()

    def _run(
        self, workload: SysbenchCpu, cores: CoreSet, slice_length: int, seconds: int, cancel: CancelToken
    ) -> Metrics:
        threads = workload.threads * len(cores)
        options = [f"--threads={threads}", f"--time={seconds}", "--events=0", f"--cpu-max-prime={workload.max_prime}"]
        pinned = [sys.executable, "-I", "-S", "-c", _PINNED, str(os.getpid()), ",".join(map(str, cores))]
        command = [*pinned, self._path, "cpu", *options, "--histogram=on", "run"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            cancel.on_cancel(process.kill)
            self._running.add(process)
            try:
                if self._closed:  # close() may have run before the process was in the set
                    process.kill()
                try:
                    used_ns = _watched(process, threads, slice_length, seconds)
                except (OSError, HandlerFailed):  # a thread has ended, so its slice cannot be set
                    if not _ends(process, _TICK_S):
                        raise
                    used_ns = 0.0
                output, _ = process.communicate(timeout=seconds + _SPARE_S)
            finally:
                self._running.discard(process)
                process.kill()
        cancel.raise_if_cancelled()
        if self._closed:
            raise closed("the backend")
        if process.returncode != 0:
            raise HandlerFailed(f"sysbench ended with code {process.returncode}: {output[-500:]}")
        share = min(1.0, used_ns / (seconds * 1e9) / len(cores))
        return dataclasses.replace(read_output(output), cpu_share=share, valid=share >= LEAST_SHARE)


def _watched(process: subprocess.Popen[str], threads: int, slice_length: int, seconds: int) -> float:
    """Set the slice of each thread as soon as it starts; the CPU time in ns that all threads used in ``seconds``."""
    done: set[int] = set()
    while len(done) <= threads and not _ends(process, _TICK_S):  # "<=", since there is also the main thread
        for tid in set(tids_of(process.pid)) - done:
            set_slice(tid, slice_length)
            done.add(tid)
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
    """The figures that ``sysbench --histogram=on`` prints; ``HandlerFailed`` if one is missing in ``output``."""
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
