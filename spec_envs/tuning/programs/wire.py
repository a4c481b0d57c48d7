"""What the programs share: orders and answers as lines of JSON, windows, and the end of processes.

This module imports nothing but the standard library, so that a program starts quickly.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

#: Seconds between two looks whether the parent process has ended.
_GONE_S = 0.5
_PR_SET_PDEATHSIG = 1
_CPU_CLOCK = 2  # CPUCLOCK_SCHED: the CPU time of a process


class Orders:
    """The lines of the standard input. They end with the input, or when the parent process has ended."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._read = b""
        #: Whether further orders may come.
        self.open = True

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (line := self._line(None)) is not None:
            if line.strip():
                yield json.loads(line)

    def wait(self, until_ns: int) -> bool:
        """Wait until the monotonic clock shows ``until_ns``; ``True`` if a line or the end comes first."""
        return self._line(until_ns) is not None or not self.open

    def _line(self, until_ns: int | None) -> bytes | None:
        while self.open:
            head, newline, rest = self._read.partition(b"\n")
            if newline:
                self._read = rest
                return head
            left = _GONE_S if until_ns is None else max(0.0, (until_ns - time.monotonic_ns()) / 1e9)
            if select.select([0], [], [], min(left, _GONE_S))[0]:
                more = os.read(0, 1 << 16)
                self._read += more
                self.open = bool(more)
            elif os.getppid() != self._parent:
                self.open = False
            elif left == 0.0:
                return None
        return None


def say(answer: dict[str, Any]) -> None:
    """Print a line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def serve(orders: Orders, carry_out: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each order by the result of ``carry_out``, or by an error if that raises an ``OSError``."""
    for order in orders:
        try:
            answer = carry_out(order)
        except BrokenPipeError:
            raise  # nobody reads the answers, or a child process has died
        except OSError as error:
            answer = {"error": str(error)}
        say(answer)


def run(program: Callable[[], None]) -> None:
    """Run a program to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the parent process, which then ends the input
    try:
        program()
    except BrokenPipeError:
        os._exit(1)


def window_ns(order: dict[str, Any], begin_ns: int) -> tuple[int, int]:
    """When a window that begins at ``begin_ns`` has settled, and when it ends, on the monotonic clock."""
    settled, end = (begin_ns + round(order[name] * 1e9) for name in ("settle_s", "window_s"))
    return settled, end


def cpu_ns(pid: int) -> int:
    """The CPU time that a process, with all its threads, has used so far."""
    return time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
