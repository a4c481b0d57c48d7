"""``ChatPolicy``: a chat model as the policy."""

import contextlib
from typing import Any

from spec_envs.agents.llm.messages import AnyModel
from spec_envs.agents.llm.prompting import Prompting, Steps
from spec_envs.agents.llm.prompts.base import PolicyPrompt, corrected, named
from spec_envs.agents.llm.prompts.chess import CHESS
from spec_envs.agents.llm.prompts.retail import RETAIL, RETAIL_CALLS
from spec_envs.agents.llm.prompts.tuning import TUNING
from spec_envs.agents.llm.said_calls import SaidCalls
from spec_envs.errors import HandlerFailed
from spec_envs.handling import CancelToken

#: Prompts by name.
_PROMPTS = {"chess": CHESS, "retail": RETAIL, "retail-calls": RETAIL_CALLS, "tuning": TUNING}


class ChatPolicy(Prompting[Any]):
    """A policy that prompts a chat model with the observation, and reads the action from the model's answer.

    If an answer cannot be read, the model is prompted once more, with the reason. ``ChatPolicy(model, "chess")`` also
    works as an opponent in chess.

    Args:
        model: ``ChatModel``, or any handler of ``ChatRequest`` that returns a ``Completion``; for ``acall`` also a
            coroutine function. The caller closes the model.
        prompt: "chess", "retail" (calls the tools of the observation, one in a step), "retail-calls" (all calls of an
            answer in one step), "tuning" (for observations as text), or a ``PolicyPrompt``.
    """

    def __init__(self, model: AnyModel, prompt: str | PolicyPrompt) -> None:
        super().__init__(model)
        self.prompt = named(_PROMPTS, prompt, PolicyPrompt, "a PolicyPrompt")
        self._said: SaidCalls | None = None

    def prefetcher(self) -> SaidCalls:
        """Return a prefetcher of this policy's tool calls, for the wall clock.

        While an answer is streamed, each read in it starts as soon as its tool call is complete.
        """
        if self._said is None:
            self._said = SaidCalls(self.prompt.read)
        return self._said

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> Any:
        """See ``Prompting``."""
        cancel = cancel or CancelToken()
        with contextlib.nullcontext() if self._said is None else self._said.heard(query, cancel):
            return super().__call__(query, cancel)

    async def acall(self, query: Any, cancel: CancelToken | None = None) -> Any:
        """See ``Prompting``."""
        cancel = cancel or CancelToken()
        with contextlib.nullcontext() if self._said is None else self._said.heard(query, cancel):
            return await super().acall(query, cancel)

    def _steps(self, query: Any) -> Steps[Any]:
        request = self.prompt.request(query)
        completion = yield request
        try:
            return self.prompt.read(completion, query)
        except ValueError as error:
            completion = yield corrected(request, completion, str(error))
        try:
            return self.prompt.read(completion, query)
        except ValueError as error:
            answer = completion.text or completion.tool_calls
            raise HandlerFailed(f"the model answered {answer!r:.500}, which cannot be used: {error}") from error
