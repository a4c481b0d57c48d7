"""How our programs talk with who started them: in lines of JSON. Standard library only: a start is to be quick."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_GONE_S = 0.5


class Orders:
    """The lines of the standard input; they end with it, or when whoever started this process has gone."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._read = b""
        #: Whether more may come.
        self.open = True

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (line := self._line(None)) is not None:
            if line.strip():
                yield json.loads(line)

    def wait(self, until_ns: int) -> bool:
        """Wait until the monotonic clock shows ``until_ns``; whether that was cut short, by a line or by the end."""
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
    """Print a line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def serve(orders: Orders, carry_out: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each order; an ``OSError`` is an answer, too."""
    for order in orders:
        try:
            answer = carry_out(order)
        except BrokenPipeError:
            raise  # this program cannot go on
        except OSError as error:
            answer = {"error": str(error)}
        say(answer)


def run(program: Callable[[], None]) -> None:
    """Run a program to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this, who then ends the input
    try:
        program()
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more, or a child has died
