"""``Prompter``: prompts a blocking or an async model with the requests that a generator yields.

So each way of prompting is written once, as a generator, for threads and for event loops.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from spec_envs import CancelToken, HandlerFailed, InvalidConfiguration
from spec_envs.agents.llm.messages import ChatRequest, Completion
from spec_envs.handling import as_handler, is_async

Result = TypeVar("Result")
Steps = Generator[ChatRequest, Completion, Result]


class Prompter:
    """Prompts a model with the requests that a generator yields, and sends the answers to the generator.

    If a request fails, ``HandlerFailed`` is raised in the generator, at its ``yield``.

    Args:
        model: A handler of ``ChatRequest``. For ``arun``, a coroutine function, or an object with ``acall``.
    """

    def __init__(self, model: Any) -> None:
        self._blocking = as_handler(model)
        self._async = as_handler(getattr(model, "acall", model))
        self._name = repr(model)

    def run(self, steps: Steps[Result], cancel: CancelToken) -> Result:
        """Prompt the model until ``steps`` returns, and return the result."""
        reply: Completion | HandlerFailed | None = None
        while True:
            try:
                request = _next(steps, reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                reply = _checked(self._blocking(request, cancel))
            except HandlerFailed as error:
                reply = error

    async def arun(self, steps: Steps[Result], cancel: CancelToken) -> Result:
        """Do the same on the running event loop.

        Raises:
            InvalidConfiguration: The model is not async.
        """
        if not is_async(self._async):
            raise InvalidConfiguration(
                f"{self._name} is not an async model: a coroutine function, or an object with one as acall; "
                f"decorate the acall of a ChatModel, not the model"
            )
        reply: Completion | HandlerFailed | None = None
        while True:
            try:
                request = _next(steps, reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                reply = _checked(await self._async(request, cancel))
            except HandlerFailed as error:
                reply = error


def _next(steps: Steps[Any], reply: Completion | HandlerFailed | None) -> ChatRequest:
    if reply is None:
        return next(steps)
    return steps.throw(reply) if isinstance(reply, HandlerFailed) else steps.send(reply)


def _checked(reply: Any) -> Completion:
    if not isinstance(reply, Completion):
        raise HandlerFailed(f"a model must return a Completion, not {reply!r:.200}")
    return reply
