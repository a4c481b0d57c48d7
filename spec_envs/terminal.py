"""A person at a terminal, who answers one question at a time."""

import sys
from collections.abc import Callable
from typing import TextIO, TypeVar

from spec_envs.errors import HandlerFailed
from spec_envs.handling import CancelToken
from spec_envs.pickling import Lock

T = TypeVar("T")


class Terminal:
    """Asks a person questions. Several threads may use one terminal; their questions take turns.

    Args:
        input: Where answers are read from, line by line. Default: standard input.
        output: Where texts and questions are shown. Default: standard output.
    """

    def __init__(self, input: TextIO | None = None, output: TextIO | None = None) -> None:
        self._input = input
        self._output = output
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["Terminal"], tuple[()]]:
        if self._input is not None or self._output is not None:
            raise TypeError(
                "a terminal with streams of its own (input=, output=) cannot be pickled or copied: make it inside the "
                "worker; without these options it uses the streams of the worker"
            )
        return Terminal, ()

    def ask(
        self, shown: str, prompt: str, read: Callable[[str], T | None], cancel: CancelToken | None, *, awaited: str
    ) -> T:
        """Show a text and a question, and repeat the question until ``read`` can use the answer.

        Args:
            shown: The text to show once, before the question.
            prompt: The question, shown before each try.
            read: Turns a line, without the blanks around it, into the answer. If it returns ``None``, the question is
                repeated; before that ``read`` has said why (``say``).
            cancel: The call's token. It is looked at before the question only: nothing interrupts a person who types.
            awaited: The name of the answer for the error, such as "the move in …".

        Raises:
            HandlerFailed: The input ended; the ``__cause__`` is an ``EOFError``.
            CallCancelled: The call was cancelled before the question was shown.
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
                    self.say(f"This line cannot be read as text: {error}.")
                    continue
                if not line:
                    raise HandlerFailed(f"the input ended before {awaited}") from EOFError()
                answer = read(_text(line).strip())
                if answer is not None:
                    return answer

    def say(self, text: str, end: str = "\n") -> None:
        """Show ``text``, at once."""
        output = self._output or sys.stdout
        output.write(text + end)
        output.flush()


def _text(line: str) -> str:
    """``line``; bytes that the terminal's encoding cannot express are read as UTF-8, or replaced."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
