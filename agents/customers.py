"""A chat model in the customer's part of ``SpecRetail-v0``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spec_envs.agents.llm import ChatRequest
from spec_envs.calls import Effect
from spec_envs.errors import HandlerFailed
from spec_envs.retail.queries import STOP

if TYPE_CHECKING:
    from spec_envs.agents.llm import Model
    from spec_envs.handling import CancelToken
    from spec_envs.retail.queries import CustomerQuery

__all__ = ["ChatCustomer"]

_PART = f"""\
You play a customer who talks with the service agent of an online shop. The other side of the conversation is the agent.

This is who you are and what you want:
{{instruction}}

How to play:
- Write the customer's next message and nothing else; one line.
- Tell only what this step of the conversation needs, not everything at once.
- What is not written above you do not know. Asked for it (an order id, say), answer that you don't remember or don't \
have it; never make anything up.
- Say things in your own words instead of repeating what is written above, and keep to the character described there.
- Once you have got everything you want, or the agent hands you over to somebody else, write {STOP} alone, which ends \
the conversation.
"""

#: How often a model is asked that answers with nothing.
_ATTEMPTS = 2


class ChatCustomer:
    """A chat model plays the customer by the task's instruction, as in tau-bench's "llm" strategy for users.

    It sees what was said, never the tools. The conversation ends when it writes "###STOP###".

    Args:
        model: A chat model; any function of a ``ChatRequest`` and a token that returns a ``Completion`` will do.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, model: Model) -> None:
        self._model = model

    def __call__(self, query: CustomerQuery, cancel: CancelToken) -> str:
        """The customer's next message.

        Raises:
            HandlerFailed: The model answered with nothing, twice.
            Exception: Whatever the model raises.
        """
        # To a model that plays the customer, the agent is the user.
        roles = ("user", "assistant")
        dialogue = [{"role": roles[turn % 2], "content": text} for turn, text in enumerate(query.said)]
        part = _PART.format(instruction=query.task.instruction)
        request = ChatRequest(messages=[{"role": "system", "content": part}, *dialogue])
        for _ in range(_ATTEMPTS):
            if message := self._model(request, cancel).text.strip():
                return message
        raise HandlerFailed(
            f"the model that plays the customer of task {query.task.name!r} answered {_ATTEMPTS} times with nothing to "
            f"{query.said[-1]!r:.200}"
        )
