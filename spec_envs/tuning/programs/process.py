"""Starts a program of this folder in a process of its own, and talks to it in lines of JSON."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spec_envs.closing import closed
from spec_envs.errors import EnvClosed, HandlerFailed
from spec_envs.handling import CancelToken
from spec_envs.tuning.measurement import MeasureQuery

#: Seconds until a program that should end is killed.
_PATIENCE_S = 5.0
_FOLDER = Path(__file__).parent
#: Runs a module of this folder without the ``__init__`` of the packages above it, which would take a fifth of a second.
_BOOT = """
import runpy, sys, types
package, folder, script = sys.argv[1:4]
parts = package.split(".")
for count in range(1, len(parts) + 1):
    name = ".".join(parts[:count])
    sys.modules[name] = types.ModuleType(name)
sys.modules[package].__path__ = [folder]
del sys.argv[1:4]
runpy.run_module(f"{package}.{script}", run_name="__main__")
"""


class Program:
    """A running module of this folder. It uses the same Python, isolated from the user's settings.

    The program prints a line of JSON when it is ready, and another for each line that it reads. An empty line tells it
    to finish early. The program ends when its input ends: on ``close()``, and when this process ends in any way. One
    thread at a time may measure; any thread may close the program. Its ``script`` may import nothing but the standard
    library and ``wire``.

    Raises:
        HandlerFailed: The program does not start, or reports that it cannot work here.
    """

    def __init__(self, script: str, *arguments: object) -> None:
        given = (__package__, _FOLDER, script, *arguments)
        command = [sys.executable, "-I", "-S", "-c", _BOOT, *map(str, given)]
        self._name = script
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self._lock = threading.Lock()
        self._current: object = None
        self._closed = False
        #: The line that the program printed when it was ready.
        self.hello = self._hear()

    def measure(self, order: Mapping[str, Any], query: MeasureQuery, cancel: CancelToken) -> dict[str, Any]:
        """The program's answer to ``order``, to which the times of the query's window are added.

        Raises:
            CallCancelled: The call was cancelled; the program has stopped the window, too.
            HandlerFailed: The program has ended, or reported an error.
            EnvClosed: ``close()`` was called.
        """
        cancel.raise_if_cancelled()
        self._say(json.dumps({**order, "settle_s": query.settle_s, "window_s": query.window_s}))
        current = self._current = object()

        def stop() -> None:
            if self._current is current:
                with contextlib.suppress(HandlerFailed, EnvClosed):
                    self._say("")

        cancel.on_cancel(stop)
        try:
            answer = self._hear()
        finally:
            self._current = None
        cancel.raise_if_cancelled()
        if self._closed:  # then the answer is that of a window that was cut short
            raise closed("the backend")
        return answer

    @property
    def alive(self) -> bool:
        """Whether the program still runs."""
        return not self._closed and self._process.poll() is None

    def close(self) -> None:
        """End the program, and wait for its end. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(BrokenPipeError):
                self._orders.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _say(self, line: str) -> None:
        with self._lock:
            if self._closed:
                raise closed("the backend")
            try:
                self._orders.write(line + "\n")
                self._orders.flush()
            except OSError as error:
                raise self._ended() from error

    def _hear(self) -> dict[str, Any]:
        try:
            line = self._answers.readline()
        except ValueError:  # the pipe was closed meanwhile
            line = ""
        if not line:
            raise closed("the backend") if self._closed else self._ended()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise HandlerFailed(f"{self._name}: {answer['error']}")
        return answer

    def _ended(self) -> HandlerFailed:
        self.close()
        return HandlerFailed(f"the program {self._name} has ended with code {self._process.returncode}")
