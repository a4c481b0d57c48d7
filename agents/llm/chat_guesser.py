"""``ChatGuesser``: a chat model as a guesser."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from spec_envs import Call, CancelToken, Guess
from spec_envs.agents.calibration import RankCalibration, Reliability
from spec_envs.agents.llm.messages import AnyModel, ChatRequest, Completion
from spec_envs.agents.llm.prompting import AnswerCut, Prompter, Steps
from spec_envs.agents.llm.prompts.base import GuessPrompt, corrected, named
from spec_envs.agents.llm.prompts.chess import CHESS_GUESSES
from spec_envs.agents.llm.prompts.guesses import GENERIC, SEARCH_GUESSES, TOOL_GUESSES
from spec_envs.agents.llm.prompts.retail import RETAIL_GUESSES
from spec_envs.agents.llm.prompts.tuning import TUNING_GUESSES
from spec_envs.agents.recent import Recent
from spec_envs.checks import boolean
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.pickling import Lock
from spec_envs.values import key_of

#: By name, a prompt for each handler; ``"*"`` is any other handler.
_PROMPTS: dict[str, Mapping[str, GuessPrompt]] = {
    "chess": CHESS_GUESSES,
    "retail": RETAIL_GUESSES,
    "search": SEARCH_GUESSES,
    "tools": TOOL_GUESSES,
    "tuning": TUNING_GUESSES,
    "generic": {"*": GENERIC},
}
#: A line of an answer, without the bullet, number or backquotes that models put around it.
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\(?\d+[.):]\s+)?`*\s*(.*?)\s*`*\s*$", re.DOTALL)
#: What models write around the whole of an answer.
_TAGS = re.compile(r"^\s*<(?:final_?)?answer>\s*|\s*</(?:final_?)?answer>\s*$", re.IGNORECASE)
#: The number of responses of a handler that are remembered as examples.
_PAST = 8


#: The guesses for a call: keys, best first, and the probabilities that their log-probabilities claim, if known.
_Offer = tuple[tuple[Hashable, ...], tuple[float, ...] | None]


class ChatGuesser:
    """Prompts a chat model, usually a small and quick one, to name the likely responses to a call, one on each line.

    If the server gives log-probabilities, the probability of a line is read as the probability that its guess is right
    if all guesses before it are wrong. These claims are corrected by how often earlier claims were right. Without
    log-probabilities, the probability of a guess is the share of guesses of its rank that were right so far.

    If an answer has no usable line, the model is prompted once more, with the reason. If the second answer has none
    either, there is no guess. An answer that was cut off twice is a failure: a wrapper counts failures in its
    statistics, and warns of the first one.

    Args:
        model: ``ChatModel``, or any handler of ``ChatRequest`` that returns a ``Completion``; for ``on_loop`` also a
            coroutine function. The caller closes the model.
        prompts: "chess", "retail", "search", "tools" (any agent's next call, from the ``Conversation`` so far),
            "tuning" (a tuner's next setting), "generic" (any handler, from its last responses, which must be JSON
            data), or a ``GuessPrompt`` for each handler. Other handlers get no guesses.
        logprobs: Whether to request log-probabilities. Becomes ``False`` when the server refuses them.
        capacity: The number of calls that are remembered until their responses are observed.

    Raises:
        InvalidConfiguration: An argument is invalid.
    """

    def __init__(
        self,
        model: AnyModel,
        prompts: str | Mapping[str, GuessPrompt],
        *,
        logprobs: bool = True,
        capacity: int = 1024,
    ) -> None:
        self.prompts = _checked(prompts)
        self.logprobs = boolean("logprobs", logprobs)
        self.ranks = RankCalibration()
        self.reliability = Reliability()
        self._prompter = Prompter(model)
        self.unpriced = self._prompter.unpriced
        self._offers: Recent[_Offer] = Recent(capacity)
        self._lock = Lock()
        self._past: dict[str, collections.deque[tuple[Any, Any]]] = {}

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """Return at most ``k`` guesses, most likely first; none if no line of the answers can be read.

        Raises:
            HandlerFailed: The model gave no answer, or its answer was cut off twice.
            CallCancelled: The token was cancelled.
        """
        return self._prompter.run(self._steps(call, k), cancel or CancelToken())

    def on_loop(self) -> _OnLoop:
        """Return a twin of this guesser whose ``guess`` is a coroutine function. The model must be async too."""
        return _OnLoop(self)

    def observe(self, call: Call, response: Any) -> None:
        """Learn which guess was right, if this call was guessed, and remember the response as an example."""
        with self._lock:
            self._past.setdefault(call.handler, collections.deque(maxlen=_PAST)).append((call.query, response))
        keys, claims = self._offers.get(call.key) or ((), None)
        if keys:
            key = key_of(response)
            rank = keys.index(key) if key in keys else None
            if claims is not None:
                self.reliability.observe(rank, claims)
            self.ranks.observe(rank, len(keys))

    def _steps(self, call: Call, k: int) -> Steps[list[Guess]]:
        prompt = self.prompts.get(call.handler) or self.prompts.get("*")
        if prompt is None:
            return []
        with self._lock:
            past = tuple(self._past.get(call.handler, ()))
        try:
            request = prompt.request(call.query, k, past)
        except (TypeError, ValueError, LookupError):  # a query of another domain
            return []
        completion = yield from self._prompted(request)
        ranked, wrong = _read(prompt, completion, call.query, k)
        if not ranked:
            completion = yield from self._prompted(corrected(request, completion, wrong))
            ranked, _ = _read(prompt, completion, call.query, k)
        return self._offered(call, ranked)

    def _prompted(self, request: ChatRequest) -> Steps[Completion]:
        if not self.logprobs:
            return (yield request)
        try:
            return (yield dataclasses.replace(request, logprobs=True))
        except AnswerCut:
            raise
        except HandlerFailed as error:  # many models refuse to give log-probabilities
            completion = yield request
            if "logprob" in str(error).lower():  # otherwise the server may just have been busy
                self.logprobs = False
            return completion

    def _offered(self, call: Call, ranked: Sequence[_Line]) -> list[Guess]:
        conditional = [line.probability for line in ranked]
        claims = None if None in conditional else _broken_stick([p for p in conditional if p is not None])
        self._offers.put(call.key, (tuple(line.key for line in ranked), claims))
        if claims is None:
            probabilities = self.ranks.probabilities(len(ranked))
        else:
            probabilities = self.reliability.corrected(claims)
        return [Guess(line.response, p) for line, p in zip(ranked, probabilities, strict=True)]


def _checked(prompts: object) -> Mapping[str, GuessPrompt]:
    """Return the prompt for each handler."""
    otherwise = "a mapping from names of handlers to GuessPrompt"
    found: Mapping[str, GuessPrompt] = named(_PROMPTS, prompts, Mapping, otherwise)  # type: ignore[type-abstract]
    for name, prompt in found.items():
        if not isinstance(name, str) or not isinstance(prompt, GuessPrompt):
            raise InvalidConfiguration(f"prompts must be {otherwise}, not {name!r}: {prompt!r:.200}")
    return found


class _OnLoop:
    """A ``ChatGuesser`` with a coroutine function ``guess``."""

    def __init__(self, inner: ChatGuesser) -> None:
        self._inner = inner
        self.unpriced = inner.unpriced
        self.observe = inner.observe

    async def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """Do the same as ``ChatGuesser.guess``, on the running event loop. Ends when its task is cancelled.

        Raises:
            HandlerFailed: The model gave no answer.
            InvalidConfiguration: The model is not async.
        """
        steps = self._inner._steps(call, k)
        return await self._inner._prompter.arun(steps, cancel or CancelToken())


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    """A line of an answer: the response that the line names, and the probability of its tokens, if known."""

    key: Hashable
    response: Any
    probability: float | None


def _read(prompt: GuessPrompt, completion: Completion, query: Any, k: int) -> tuple[list[_Line], str]:
    """Return the usable lines, each response once, and the reason why the first unusable line is unusable."""
    found: dict[Hashable, _Line] = {}
    wrong = "it is empty"
    for text, probability in _lines(completion):
        try:
            response = prompt.read(text, query)
        except ValueError as error:
            wrong = str(error) if wrong == "it is empty" else wrong
            continue
        key = key_of(response)
        found.setdefault(key, _Line(key, response, probability))
    return list(found.values())[:k], wrong


def _lines(completion: Completion) -> list[tuple[str, float | None]]:
    """Return all lines but empty ones and code fences, each with the probability of its tokens, if known."""
    text = completion.text
    known = "".join(token for token, _ in completion.logprobs) == text and bool(text)
    sums: dict[int, float] = collections.defaultdict(float)
    start = 0
    for token, logprob in completion.logprobs if known else ():
        # A token that spans a line break belongs to the line of its first character that is not white space.
        place = start + len(token) - len(token.lstrip())
        if token.strip():
            sums[text.count("\n", 0, place)] += logprob
        start += len(token)
    result = []
    for number, line in enumerate(text.split("\n")):
        bare = _TAGS.sub("", _BULLET.sub(r"\1", _TAGS.sub("", line)))
        if bare and not line.lstrip().startswith("```"):
            result.append((bare, math.exp(min(0.0, sums[number])) if known else None))
    return result


def _broken_stick(conditional: Sequence[float]) -> tuple[float, ...]:
    """Return the probabilities of guesses, given for each the probability that it is right if all before are wrong."""
    left, result = 1.0, []
    for p in conditional:
        result.append(left * p)
        left *= 1.0 - p
    return tuple(result)
