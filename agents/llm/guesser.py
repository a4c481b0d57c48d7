"""``ChatGuesser``: a chat model that predicts responses."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
import threading
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.agents.calibration import RankCalibration, Reliability, capped
from spec_envs.agents.guessers import Recent
from spec_envs.agents.llm._steps import Asking, Steps
from spec_envs.agents.llm.prompts import GuessPrompt, corrected
from spec_envs.calls import Call
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken
from spec_envs.values import key_of

if TYPE_CHECKING:
    from spec_envs.agents.llm.messages import AnyModel, ChatRequest, Completion

__all__ = ["ChatGuesser"]

#: What models put before the items of a list, and around them.
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\(?\d+[.):]\s+)?`*\s*(.*?)\s*`*\s*$", re.DOTALL)
#: Responses of a handler that are remembered as examples.
_PAST = 8


@dataclasses.dataclass(frozen=True, slots=True)
class _Offer:
    """What was offered for a call: keys, best first, and what their log-probabilities claimed, if there were any."""

    keys: tuple[Hashable, ...]
    claims: tuple[float, ...] | None


class ChatGuesser:
    """A chat model, usually a small and quick one, that names the likely responses to a call: all in one answer.

    Where the server gives log-probabilities, a line's is read as the probability that its guess is right if those
    before it are not; what is claimed like that is corrected by how often it came true. Where it gives none, a guess is
    as probable as guesses of its rank have been so far.

    An answer without any usable line is sent back once, with what is wrong with it; then there is no guess.

    Args:
        model: ``ChatModel``, or any handler of ``ChatRequest`` that returns a ``Completion``; for ``on_loop`` also a
            coroutine function. Yours to close.
        prompts: "chess", "retail", "search", "tools" (any agent's next call, by the ``Conversation`` so far), "tuning"
            (a tuner's next setting), "generic" (any handler, by its last responses, which must be JSON data), or a
            ``GuessPrompt`` for each handler. Other handlers get no guesses.
        logprobs: Ask for log-probabilities. Set to ``False`` by a server's error that names them.
        capacity: Calls remembered until their response is observed.
    """

    def __init__(
        self,
        model: AnyModel,
        prompts: str | Mapping[str, GuessPrompt],
        *,
        logprobs: bool = True,
        capacity: int = 1024,
    ) -> None:
        self.prompts = guess_prompts(prompts) if isinstance(prompts, str) else prompts
        self.logprobs = logprobs
        self.ranks = RankCalibration()
        self.reliability = Reliability()
        self._asking = Asking(model)
        self._offers: Recent[_Offer] = Recent(capacity)
        self._lock = threading.Lock()
        self._past: dict[str, collections.deque[tuple[Any, Any]]] = {}

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """At most ``k`` guesses, most likely first; none where the model says nothing that can be read.

        Raises:
            HandlerFailed: The model gave no answer.
            CallCancelled: The token was cancelled.
        """
        return self._asking.run(self._steps(call, k), CancelToken() if cancel is None else cancel)

    def on_loop(self) -> _OnLoop:
        """This guesser for an event loop: its ``guess`` is a coroutine function. The model must be async, too."""
        return _OnLoop(self)

    def observe(self, call: Call, response: Any) -> None:
        """Learn which guess was right, if this call was guessed, and remember the response as an example."""
        with self._lock:
            self._past.setdefault(call.handler, collections.deque(maxlen=_PAST)).append((call.query, response))
        offer = self._offers.get(call.key)
        if offer is None or not offer.keys:
            return
        key = key_of(response)
        rank = offer.keys.index(key) if key in offer.keys else None
        if offer.claims is not None:
            self.reliability.observe(rank, offer.claims)
        self.ranks.observe(rank, len(offer.keys))

    def _steps(self, call: Call, k: int) -> Steps[list[Guess]]:
        prompt = self.prompts.get(call.handler) or self.prompts.get("*")
        if prompt is None:
            return []
        with self._lock:
            past = tuple(self._past.get(call.handler, ()))
        try:
            request = prompt.ask(call.query, k, past)
        except (TypeError, ValueError, LookupError):  # a query of another domain
            return []
        completion = yield from self._asked(request)
        ranked, wrong = _read(prompt, completion, call.query, k)
        if not ranked:
            completion = yield from self._asked(corrected(request, completion, wrong))
            ranked, _ = _read(prompt, completion, call.query, k)
        return self._offered(call, ranked)

    def _asked(self, request: ChatRequest) -> Steps[Completion]:
        if not self.logprobs:
            return (yield request)
        try:
            return (yield dataclasses.replace(request, logprobs=True))
        except HandlerFailed as error:  # many models refuse to give them
            completion = yield request
            if "logprob" in str(error).lower():  # not because the server was busy for a moment
                self.logprobs = False
            return completion

    def _offered(self, call: Call, ranked: Sequence[_Line]) -> list[Guess]:
        conditional = [line.probability for line in ranked]
        claims = None if None in conditional else _broken_stick([p for p in conditional if p is not None])
        self._offers.put(call.key, _Offer(tuple(line.key for line in ranked), claims))
        if claims is None:
            probabilities = self.ranks.probabilities(len(ranked))
        else:
            probabilities = capped(self.reliability.corrected(claims))
        return [Guess(line.response, p) for line, p in zip(ranked, probabilities, strict=True)]


class _OnLoop:
    """A ``ChatGuesser`` whose guesses are awaited."""

    def __init__(self, inner: ChatGuesser) -> None:
        self._inner = inner
        self.observe = inner.observe

    async def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """As ``ChatGuesser.guess``; ends when its task is cancelled.

        Raises:
            HandlerFailed: The model gave no answer.
            InvalidConfiguration: The model can only block.
        """
        steps = self._inner._steps(call, k)
        return await self._inner._asking.arun(steps, CancelToken() if cancel is None else cancel)


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    """A line of an answer: the response that it names, and the probability of its tokens."""

    key: Hashable
    response: Any
    probability: float | None


def _read(prompt: GuessPrompt, completion: Completion, query: Any, k: int) -> tuple[list[_Line], str]:
    """The usable lines, without repetitions, and what is wrong with the first that is not."""
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
    """The lines that hold anything but a fence, each with the probability of its tokens where they are known."""
    text = completion.text
    known = "".join(token for token, _ in completion.logprobs) == text and bool(text)
    sums: dict[int, float] = collections.defaultdict(float)
    start = 0
    for token, logprob in completion.logprobs if known else ():
        # A token that ends one line and begins the next belongs to the one that it says something of.
        place = start + len(token) - len(token.lstrip())
        if token.strip():
            sums[text.count("\n", 0, place)] += logprob
        start += len(token)
    result = []
    for number, line in enumerate(text.split("\n")):
        bare = _BULLET.sub(r"\1", line)
        if bare and not line.lstrip().startswith("```"):
            result.append((bare, min(1.0, math.exp(sums[number])) if known else None))
    return result


def _broken_stick(conditional: Sequence[float]) -> tuple[float, ...]:
    """Probabilities of guesses, given those that each is right if none before it is."""
    left, result = 1.0, []
    for p in conditional:
        result.append(left * p)
        left *= 1.0 - p
    return tuple(result)


def guess_prompts(name: str) -> Mapping[str, GuessPrompt]:
    """The prompts of that name."""
    if name == "chess":
        from spec_envs.agents.llm.chess import CHESS_GUESSES

        return CHESS_GUESSES
    if name == "retail":
        from spec_envs.agents.llm.retail import RETAIL_GUESSES

        return RETAIL_GUESSES
    if name == "search":
        from spec_envs.agents.llm.search import SEARCH_GUESSES

        return SEARCH_GUESSES
    if name == "tools":
        from spec_envs.agents.llm.tools import TOOL_GUESSES

        return TOOL_GUESSES
    if name == "tuning":
        from spec_envs.agents.llm.tuning import TUNING_GUESSES

        return TUNING_GUESSES
    if name == "generic":
        from spec_envs.agents.llm.generic import GENERIC

        return {"*": GENERIC}
    raise InvalidConfiguration(
        'prompts must be "chess", "retail", "search", "tools", "tuning", "generic" or a GuessPrompt by handler, '
        f"not {name!r}"
    )
