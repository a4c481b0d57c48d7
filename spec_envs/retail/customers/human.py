"""A person at the terminal plays the customer."""

from __future__ import annotations

from typing import ClassVar, TextIO

from spec_envs.calls import Effect
from spec_envs.handling import CancelToken
from spec_envs.retail.queries import STOP, CustomerQuery
from spec_envs.terminal import Terminal


class HumanCustomer:
    """Shows a person the customer's part and the agent's messages, and reads the answers; "stop" ends the conversation.

    Args:
        input: The file from which answers are read, line by line. Default: standard input.
        output: The file to which messages are written. Default: standard output.
    """

    effect: ClassVar[Effect] = Effect.WRITE

    def __init__(self, input: TextIO | None = None, output: TextIO | None = None) -> None:
        self._terminal = Terminal(input, output)

    def __call__(self, query: CustomerQuery, cancel: CancelToken | None = None) -> str:
        """Return the message that the person types.

        Raises:
            HandlerFailed: The input ended.
        """
        shown = f"\nAgent: {query.said[-1]}"
        if len(query.said) == 1:
            shown = f'\nYou are the customer. {query.task.instruction}\nWhen you are done, say "stop".\n{shown}'
        awaited = f"the customer's answer to {query.said[-1]!r:.200}"
        return self._terminal.ask(shown, "You: ", self._read, cancel, awaited=awaited)

    def _read(self, text: str) -> str | None:
        if not text:
            self._terminal.say('Say something, or "stop" when you are done.')
            return None
        return STOP if text.lower() == "stop" else text
