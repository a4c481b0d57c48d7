"""``ChatCustomer``: a chat model as the customer of ``SpecRetail-v0``."""

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompting import Prompting, Steps
from spec_envs.agents.llm.written_calls import unwrapped
from spec_envs.errors import HandlerFailed
from spec_envs.retail.queries import STOP, CustomerQuery

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

#: The number of times that a model is prompted if its answers are empty.
_ATTEMPTS = 2


class ChatCustomer(Prompting[str]):
    """A handler of ``"user"``: a chat model plays the customer, following the task's instruction.

    This follows the "llm" strategy for users of tau-bench. The model sees the messages of both sides, but no tools. The
    conversation ends when the model writes "###STOP###".

    Args:
        model: ``ChatModel``, or any handler of ``ChatRequest`` that returns a ``Completion``; for ``acall`` also a
            coroutine function. The caller closes the model.
    """

    def _steps(self, query: CustomerQuery) -> Steps[str]:
        # To a model that plays the customer, the agent is the user.
        roles = ("user", "assistant")
        dialogue = [{"role": roles[turn % 2], "content": text} for turn, text in enumerate(query.said)]
        part = _PART.format(instruction=query.task.instruction)
        request = ChatRequest(messages=[{"role": "system", "content": part}, *dialogue])
        for _ in range(_ATTEMPTS):
            completion = yield request
            if message := unwrapped(completion.text):
                return message
        raise HandlerFailed(
            f"the model that plays the customer of task {query.task.name!r} gave {_ATTEMPTS} empty answers to "
            f"{query.said[-1]!r:.200}"
        )
