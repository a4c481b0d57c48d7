"""``Prompting``: the base of policies, customers and guessers that prompt a chat model, on threads or event loops."""

import abc
import dataclasses
import re
from collections.abc import Generator
from typing import Any, ClassVar, Generic, TypeVar

from spec_envs import CancelToken, Effect, Usage
from spec_envs.agents.llm.endings import says_all
from spec_envs.agents.llm.messages import ChatRequest, Completion
from spec_envs.agents.llm.reasoning import without_reasoning
from spec_envs.agents.llm.streamed_calls import is_whole
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import as_handler, declared, greatest_usage, is_async, unpriced_model

Result = TypeVar("Result")
Steps = Generator[ChatRequest, Completion, Result]

#: Parts of the finish reasons of answers that were cut off: because they were too long, and for any reason. Servers
#: write "length", "MAX_TOKENS", "ERROR_LIMIT", "model_context_window_exceeded", "contextLengthReached" and so on.
_TOO_LONG = re.compile(
    r"length|max_?(?:output_?|new_?|predicted_?)?(?:tokens?|len)|limit|context_?window", re.IGNORECASE
)
_CUT = re.compile(
    rf"{_TOO_LONG.pattern}|filter|safety|recitation|block_?list|prohibited|spii|sensitive|refus|guard|toxic|malformed"
    r"|unexpected|too_many|insufficient|error|abort|cancel|interrupt|user_?stop|time_?out|timed|pause|\A(?:other|language|load)\Z",
    re.IGNORECASE,
)
#: An upper bound on the characters of a complaint about an answer.
_COMPLAINT = 4096
#: The factor by which the limit of tokens grows for a second answer, and its least value if the first had no limit.
_MORE = 4
_ROOM = 4096


class AnswerCut(HandlerFailed):
    """The model's answer was cut off twice: it was too long, or the server withheld the rest."""


class Prompter:
    """Prompts a model with the requests that a generator yields, and sends the answers to the generator.

    So each way of prompting is written once, for threads and for event loops. Reasoning in the text of an answer is
    dropped. An answer that was cut off is not used: the model is prompted once more, with a greater limit of tokens if
    the answer was too long. If a request fails, ``HandlerFailed`` is raised in the generator, at its ``yield``.

    Args:
        model: A handler of ``ChatRequest``. For ``arun``, a coroutine function, or an object with ``acall``.

    Raises:
        InvalidConfiguration: ``model`` cannot be called.
    """

    def __init__(self, model: Any) -> None:
        if not callable(model):
            name = model if isinstance(model, str) else "NAME"
            raise InvalidConfiguration(
                f"model must be a ChatModel({name!r}), or a function that takes a ChatRequest, not {model!r:.200}"
            )
        self.unpriced = unpriced_model(model)
        self._blocking = as_handler(model)
        self._async = as_handler(getattr(model, "acall", model))
        self._name = repr(model)

    def greatest_usage(self, request: ChatRequest) -> Usage | None:
        """The greatest usage of the answers to ``request`` and to its correction, each cut off once; ``None``: unknown.

        The correction holds the first answer, which is no longer than the limit of tokens, and a complaint about it.
        """
        first = greatest_usage(self._blocking, request)
        if first is None:
            return None
        longer = dataclasses.replace(request, max_tokens=_longer(request, first))
        second = greatest_usage(self._blocking, longer)
        if second is None:
            return None
        added = {"role": "user", "content": " " * (round(second.tokens_out) + _COMPLAINT)}
        usage = Usage()
        for each in (request, longer):
            corrected = dataclasses.replace(each, messages=[*each.messages, added])
            for one in (each, corrected):
                usage += greatest_usage(self._blocking, one) or Usage()
        return usage

    def run(self, steps: Steps[Result], cancel: CancelToken) -> Result:
        """Prompt the model until ``steps`` returns, and return the result."""
        prompts, reply = _prompts(steps), None
        while True:
            try:
                request = prompts.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                reply = self._blocking(request, cancel)
            except HandlerFailed as error:
                reply = error

    async def arun(self, steps: Steps[Result], cancel: CancelToken) -> Result:
        """Do the same as ``run``, on the running event loop; ``InvalidConfiguration`` if the model is not async."""
        if not is_async(self._async):
            raise InvalidConfiguration(
                f"{self._name} is not an async model: a coroutine function, or an object with one as acall; "
                f"decorate the acall of a ChatModel, not the model"
            )
        prompts, reply = _prompts(steps), None
        while True:
            try:
                request = prompts.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                reply = await self._async(request, cancel)
            except HandlerFailed as error:
                reply = error


class Prompting(abc.ABC, Generic[Result]):
    """A handler that prompts a chat model. A subclass implements ``_steps``.

    Args:
        model: ``ChatModel``, or any handler of ``ChatRequest`` that returns a ``Completion``; for ``acall`` also a
            coroutine function. The caller closes the model.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, model: Any) -> None:
        self._prompter = Prompter(model)
        self.unpriced = self._prompter.unpriced
        self.model_name = declared(model, "model_name")

    def greatest_usage(self, query: Any) -> Usage | None:
        """The greatest usage of a response to ``query``; ``None`` if the model declares none for such requests."""
        steps = self._steps(query)
        try:
            return self._prompter.greatest_usage(next(steps))
        finally:
            steps.close()

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> Result:
        """Return the response to ``query``.

        Raises:
            HandlerFailed: The model gave no answer, or both of its answers were cut off or cannot be used. The message
                quotes the last answer.
        """
        return self._prompter.run(self._steps(query), cancel or CancelToken())

    async def acall(self, query: Any, cancel: CancelToken | None = None) -> Result:
        """Return the response to ``query``, on the running event loop. Ends when its task is cancelled.

        Raises:
            HandlerFailed: As for a blocking call.
            InvalidConfiguration: The model is not async.
        """
        return await self._prompter.arun(self._steps(query), cancel or CancelToken())

    @abc.abstractmethod
    def _steps(self, query: Any) -> Steps[Result]:
        """Yield the requests for ``query``, and return the response."""


def _prompts(steps: Steps[Result]) -> Generator[ChatRequest, Any, Result]:
    """Yield the requests of ``steps``, each again if its answer is cut off; is sent an answer or an error for each."""
    try:
        request = next(steps)
        while True:
            try:
                reply = yield from _answer(request)
            except HandlerFailed as error:
                request = steps.throw(error)
            else:
                request = steps.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _answer(request: ChatRequest) -> Generator[ChatRequest, Any, Completion]:
    completion = _checked((yield request))
    if _is_cut(completion) and _went_on(request, completion):  # the part that was cut off does not matter
        return without_reasoning(completion)
    if _is_cut(completion, _TOO_LONG):
        request = dataclasses.replace(request, max_tokens=_longer(request, completion.usage))
    if _is_cut(completion):
        completion = _checked((yield request))
    if _is_cut(completion):
        raise AnswerCut(
            f"the model's answer was cut twice ({completion.finish_reason}), so it is not an answer: "
            f"{completion.text or completion.tool_calls!r:.200}"
        )
    return without_reasoning(completion)


def _went_on(request: ChatRequest, completion: Completion) -> bool:
    """Whether the answer went on after all that matters."""
    before = completion.text.rstrip()[:-1]
    calls = completion.tool_calls
    return says_all(request, before, has_call=len(calls) > 1 and is_whole(calls[0].arguments))


def _longer(request: ChatRequest, usage: Usage) -> int:
    """Return the limit of tokens for a second answer to ``request``; the first had ``usage`` and was cut off."""
    return _MORE * max(request.max_tokens or _ROOM // _MORE, round(usage.tokens_out))


def _is_cut(completion: Completion, reasons: re.Pattern[str] = _CUT) -> bool:
    return reasons.search(completion.finish_reason or "") is not None


def _checked(reply: Any) -> Completion:
    if isinstance(reply, HandlerFailed):
        raise reply
    if not isinstance(reply, Completion):
        raise HandlerFailed(f"a model must return a Completion, not {reply!r:.200}")
    return reply
