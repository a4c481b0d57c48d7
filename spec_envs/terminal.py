"""A person at a terminal, who is asked one question at a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TextIO, TypeVar

from spec_envs.errors import HandlerFailed
from spec_envs.handling import CancelToken

T = TypeVar("T")


class Terminal:
    """Asks a person, and asks again until the answer can be used. May be used by several threads; they take turns.

    Args:
        input: Where answers are read from, line by line. Default: standard input.
        output: Where everything is shown. Default: standard output.
    """

    def __init__(self, input: TextIO | None = None, output: TextIO | None = None) -> None:
        self._input = input
        self._output = output
        self._lock = threading.Lock()

    def ask(
        self, shown: str, prompt: str, read: Callable[[str], T | None], cancel: CancelToken | None, *, awaited: str
    ) -> T:
        """Show something, and ask until ``read`` makes something of the answer.

        Args:
            shown: What to show first, once.
            prompt: The question, shown before each try.
            read: Makes the answer of a line, without the blanks around it; ``None`` asks again, after ``read`` has said
                why (``say``).
            cancel: Looked at before the question. Afterwards a person is typing, whom nothing interrupts.
            awaited: What is asked for, for the error: "the move in …".

        Raises:
            HandlerFailed: The input ended.
            CallCancelled: The call was cancelled before it was this question's turn.
        """
        with self._lock:  # one question at a time
            if cancel is not None:
                cancel.raise_if_cancelled()
            self.say(shown)
            while True:
                self.say(prompt, end="")
                try:
                    line = (self._input or sys.stdin).readline()
                except UnicodeDecodeError as error:
                    self.say(f"That is no text: {error}.")
                    continue
                if not line:
                    raise HandlerFailed(f"the input ended before {awaited}")
                answer = read(_text(line).strip())
                if answer is not None:
                    return answer

    def say(self, text: str, end: str = "\n") -> None:
        """Show ``text``, at once."""
        output = self._output or sys.stdout
        output.write(text + end)
        output.flush()


def _text(line: str) -> str:
    """``line`` with its bytes outside the terminal's encoding, which Python smuggles in, read as UTF-8 or replaced."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
