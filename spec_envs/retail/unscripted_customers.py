"""Customers that are not scripted: a person at a terminal, and one who repeats a recorded conversation."""

from typing import ClassVar, TextIO

from spec_envs.calls import Effect
from spec_envs.conversation import AssistantMessage, Conversation, UserMessage
from spec_envs.errors import InvalidConfiguration, RecordMissing
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
        """Return the message that the person types; ``HandlerFailed`` if the input ended."""
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


class RecordedCustomer:
    """Repeats the customer's messages of a recorded conversation, as long as the agent says the same as recorded.

    The agent's tool calls may differ from the recorded ones.

    Args:
        conversation: The recording: from ``spec_envs.conversation.read_trajectories``, or
            ``from_chat(env.unwrapped.dialogue)``.

    Raises:
        InvalidConfiguration: The customer says nothing in the conversation.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, conversation: Conversation) -> None:
        self._turns: list[tuple[str, str]] = []  # the agent's message right before ("" for none), the customer's
        before = ""
        for event in conversation.events:
            if isinstance(event, UserMessage):
                self._turns.append((before, event.text))
            before = event.text if isinstance(event, AssistantMessage) else ""
        if not self._turns:
            raise InvalidConfiguration("the conversation to replay holds no message of a customer")

    def __call__(self, query: CustomerQuery) -> str:
        """Return the customer's next message.

        Raises:
            RecordMissing: The recording ends here, or the agent has said something that is not in the recording.
        """
        heard = query.said[2::2]  # without the greeting
        if len(heard) >= len(self._turns):
            raise RecordMissing(
                f"the recorded customer speaks {len(self._turns)} times, and the agent has answered once more: "
                f"{heard[-1]!r:.200}"
            )
        for number, (said, (recorded, _)) in enumerate(zip(heard, self._turns[1:], strict=False), start=1):
            if said != recorded:
                raise RecordMissing(
                    f"message {number} of the agent is {said!r:.200}, and the recorded customer answered to "
                    f"{recorded!r:.200}; the recording does not say what the customer answers to another message"
                )
        return self._turns[len(heard)][1]
