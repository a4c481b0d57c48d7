"""``ChatPolicy``: a chat model as the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from spec_envs.agents.llm._steps import Asking, Steps
from spec_envs.agents.llm.prompts import PolicyPrompt, corrected
from spec_envs.calls import Effect
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken

if TYPE_CHECKING:
    from spec_envs.agents.llm.messages import AnyModel

__all__ = ["ChatPolicy"]


class ChatPolicy:
    """A chat model as a policy: puts the observation to it, and reads the action from what it answers.

    An answer that cannot be read is sent back once, with what is wrong with it. For chess it is an opponent, too.

    Args:
        model: ``ChatModel``, or any handler of ``ChatRequest`` that returns a ``Completion``; for ``acall`` also a
            coroutine function. Yours to close.
        prompt: "chess", "retail" (calls the tools of the observation), "tuning" (of observations as
            text), or a ``PolicyPrompt`` of your own.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, model: AnyModel, prompt: str | PolicyPrompt) -> None:
        self.prompt = policy_prompt(prompt) if isinstance(prompt, str) else prompt
        self._asking = Asking(model)

    def __call__(self, observation: Any, cancel: CancelToken) -> Any:
        """The action.

        Raises:
            HandlerFailed: The model gave no answer, or two that could not be read; the message quotes the last.
        """
        return self._asking.run(self._steps(observation), cancel)

    async def acall(self, observation: Any, cancel: CancelToken) -> Any:
        """The action, on the running event loop; ends when its task is cancelled.

        Raises:
            HandlerFailed: As above.
            InvalidConfiguration: The model can only block.
        """
        return await self._asking.arun(self._steps(observation), cancel)

    def _steps(self, observation: Any) -> Steps[Any]:
        request = self.prompt.ask(observation)
        completion = yield request
        try:
            return self.prompt.read(completion, observation)
        except ValueError as error:
            completion = yield corrected(request, completion, str(error))
        try:
            return self.prompt.read(completion, observation)
        except ValueError as error:
            answer = completion.text or completion.tool_calls
            raise HandlerFailed(f"the model answered {answer!r:.500}, which cannot be used: {error}") from error


def policy_prompt(name: str) -> PolicyPrompt:
    """The prompt of that name."""
    if name == "chess":
        from spec_envs.agents.llm.chess import CHESS

        return CHESS
    if name == "retail":
        from spec_envs.agents.llm.retail import RETAIL

        return RETAIL
    if name == "tuning":
        from spec_envs.agents.llm.tuning import TUNING

        return TUNING
    raise InvalidConfiguration(f'prompt must be "chess", "retail", "tuning" or a PolicyPrompt, not {name!r}')
