"""A program of ours in a process of its own, which does one thing at a time and is told so in lines of JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spec_envs.errors import EnvClosed, HandlerFailed

if TYPE_CHECKING:
    from spec_envs.handling import CancelToken

__all__ = ["Program"]

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
    """A module beside this one, run with the same Python, isolated from the user's settings.

    It prints a line of JSON when it is ready and one for each line that it reads; an empty line tells it to be done
    sooner. It ends when its input does: when it is closed, and when this process ends in whatever way. Asked by one
    thread at a time, closed by any.

    Args:
        script: Name of the module, which imports the standard library and ``wire`` only.
        arguments: For its command line.

    Raises:
        HandlerFailed: It does not start, or says that it cannot do its work here.
    """

    def __init__(self, script: str, *arguments: object) -> None:
        given = (__package__, _FOLDER, script, *arguments)
        command = [sys.executable, "-I", "-S", "-c", _BOOT, *map(str, given)]
        self._name = script
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        self._current: object = None
        self._closed = False
        #: What it said when it was ready.
        self.hello = self._hear()

    def ask(self, order: Mapping[str, Any], cancel: CancelToken) -> dict[str, Any]:
        """What it answers to ``order``.

        Raises:
            CallCancelled: The call was cancelled; the program has stopped, too.
            HandlerFailed: It has ended, or answered with an error.
            EnvClosed: ``close()`` was called.
        """
        cancel.raise_if_cancelled()
        self._say(json.dumps(order))
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
        if self._closed:  # which has cut the answer short
            raise _closed()
        return answer

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._closed and self._process.poll() is None

    def close(self) -> None:
        """End it, and wait until it has ended. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(BrokenPipeError):
                _pipe(self._process.stdin).close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()

    def _say(self, line: str) -> None:
        with self._lock:
            if self._closed:
                raise _closed()
            try:
                _pipe(self._process.stdin).write(line + "\n")
                _pipe(self._process.stdin).flush()
            except OSError as error:
                raise self._ended() from error

    def _hear(self) -> dict[str, Any]:
        try:
            line = _pipe(self._process.stdout).readline()
        except ValueError:  # closed meanwhile
            line = ""
        if not line:
            raise _closed() if self._closed else self._ended()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise HandlerFailed(f"{self._name}: {answer['error']}")
        return answer

    def _ended(self) -> HandlerFailed:
        self.close()
        return HandlerFailed(f"the program {self._name} has ended with code {self._process.returncode}")


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _closed() -> EnvClosed:
    return EnvClosed("the backend was closed; make a new one")
