"""A customer who says what a recorded one said."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spec_envs.calls import Effect
from spec_envs.conversation import AssistantMessage, Conversation, UserMessage
from spec_envs.errors import InvalidConfiguration, RecordMissing

if TYPE_CHECKING:
    from spec_envs.retail.queries import CustomerQuery


class RecordedCustomer:
    """Says what the customer of a recorded conversation said, for as long as the agent says what it said there.

    What a customer would have said to anything else, the recording does not hold. Tool calls are the agent's own
    business: they need not be those of the recording.

    Args:
        conversation: One of ``spec_envs.conversation.read_trajectories``, or ``from_chat(env.unwrapped.dialogue)``.

    Raises:
        InvalidConfiguration: The customer says nothing in it.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, conversation: Conversation) -> None:
        events = conversation.events
        places = [place for place, event in enumerate(events) if isinstance(event, UserMessage)]
        if not places:
            raise InvalidConfiguration("the conversation to replay holds no message of a customer")
        #: What the customer said, and what it answered to: the agent's last message before it.
        self._turns = [(_said_before(conversation, place), events[place]) for place in places]

    def __call__(self, query: CustomerQuery) -> str:
        """The customer's next message.

        Raises:
            RecordMissing: The recording ends before it, or the agent has said something else.
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
                    f"{recorded!r:.200}; what it would have said to this, the recording does not hold"
                )
        message = self._turns[len(heard)][1]
        assert isinstance(message, UserMessage)
        return message.text


def _said_before(conversation: Conversation, place: int) -> str:
    """What the customer has just heard; "" for nothing. Words beside a tool call are not said to anybody."""
    before = conversation.events[place - 1] if place else None
    return before.text if isinstance(before, AssistantMessage) else ""
