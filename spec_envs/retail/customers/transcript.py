"""A customer who repeats the messages of a recorded conversation."""

from __future__ import annotations

from typing import ClassVar

from spec_envs.calls import Effect
from spec_envs.conversation import AssistantMessage, Conversation, UserMessage
from spec_envs.errors import InvalidConfiguration, RecordMissing
from spec_envs.retail.queries import CustomerQuery


class RecordedCustomer:
    """Says what the customer of a recorded conversation said, as long as the agent says the same as in the recording.

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
