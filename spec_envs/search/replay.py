"""Replay of recorded episodes: an agent that acts as recorded, and a site that answers as recorded."""

import json
import math
import random
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from spec_envs.calls import Effect
from spec_envs.checks import positive
from spec_envs.handling import CancelToken
from spec_envs.search.actions import read_action
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.search.recordings import RecordedEpisode, RecordedStep
from spec_envs.usage import Usage

#: Standard deviation of the logarithm of the times that are not recorded.
_SPREAD = 0.4
_CHARACTERS_PER_TOKEN = 4


class RecordedAgent:
    """A policy that acts as recorded, after a drawn time, since thinking times are not recorded.

    On a recorded observation the agent returns the recorded action, written as in the transcript (``search[…]``). Only
    a wrong branch has other observations. There the agent returns the first recorded action that was not taken yet; if
    all were taken, the agent finishes with the right answer.

    The thinking time is ``median_s * exp(N(0, 0.4²))`` seconds, and depends only on the observation and ``seed``. The
    estimated number of tokens is one for every four characters of the observation (read), and of thought and action
    (written). The effect is ``SAMPLE``, since the policy stands for a language model: equal calls do not share a draw.

    Args:
        episode: The recorded episode.
        median_s: Median of the thinking time in seconds of the episode, above 0.
        speed: How many seconds of the episode pass in one second, above 0.
        seed: Seed of the thinking times.

    Raises:
        InvalidConfiguration: ``median_s`` or ``speed`` is not above 0, or not finite.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, episode: RecordedEpisode, *, median_s: float = 8.0, speed: float = 1.0, seed: int = 0) -> None:
        self.episode = episode
        self.median_s = positive("median_s", median_s, finite=True)
        self.speed = positive("speed", speed, finite=True)
        self.seed = seed

    def __call__(self, query: Mapping[str, Any], cancel: CancelToken | None = None) -> str:
        """The action on an observation of ``SpecSearch-v0``; ``CallCancelled`` if the call was cancelled meanwhile."""
        cancel = cancel or CancelToken()
        step = self._step(query)
        read, written = len(query["question"]) + len(query["transcript"]), len(step.thought) + len(step.action)
        usage = Usage(tokens_in=read / _CHARACTERS_PER_TOKEN, tokens_out=written / _CHARACTERS_PER_TOKEN)
        cancel.sleep(self.seconds(query) / self.speed, spending=usage)
        return str(read_action(step.action))

    def seconds(self, observation: Mapping[str, Any]) -> float:
        """The thinking time on ``observation``, in seconds of the episode."""
        return self.median_s * _factor(self.seed, observation["question"], observation["transcript"])

    def _step(self, observation: Mapping[str, Any]) -> RecordedStep:
        number = self.episode.step_of(observation)
        if number is not None:
            return self.episode.steps[number]
        taken = {entry["action"].lower() for entry in json.loads(observation["transcript"])}
        for step in self.episode.steps:
            if str(read_action(step.action)).lower() not in taken:
                return step
        return RecordedStep(action=f"Finish[{self.episode.question.answer}]", observation="")


class RecordedSite:
    """Answers ``fetch`` calls as recorded, after the recorded time.

    Only a wrong branch makes a search that is not in the episode. The result is that of the same search in another
    episode; if no episode has this search, there is no such page. The time of this search is the median of the
    episode's recorded times, multiplied by ``exp(N(0, 0.4²))``; the factor depends only on the query and ``seed``.

    Args:
        episode: The recorded episode.
        others: Further episodes, for the results of searches that ``episode`` did not make.
        speed: How many seconds of the episode pass in one second, above 0.
        seed: Seed of the times that are not recorded.

    Raises:
        InvalidConfiguration: ``speed`` is not above 0, or not finite.
    """

    def __init__(
        self, episode: RecordedEpisode, others: Iterable[RecordedEpisode] = (), *, speed: float = 1.0, seed: int = 0
    ) -> None:
        self.episode = episode
        self.speed = positive("speed", speed, finite=True)
        self.seed = seed
        self._others: dict[str, Fetched] = {}
        for other in others:
            for text, (fetched, _) in other.fetched.items():
                self._others.setdefault(text, fetched)
        self._median = statistics.median([seconds for _, seconds in episode.fetched.values()] or [0.0])

    def __call__(self, query: FetchQuery, cancel: CancelToken | None = None) -> Fetched:
        """The result of a search for ``query.text``; ``CallCancelled`` if the call was cancelled meanwhile."""
        cancel = cancel or CancelToken()
        cancel.sleep(self.seconds(query.text) / self.speed)
        return self.found(query)

    def found(self, query: FetchQuery) -> Fetched:
        """The result of a search for ``query.text``, at once."""
        recorded = self.episode.fetched.get(query.text)
        return self._others.get(query.text, Fetched(None)) if recorded is None else recorded[0]

    def seconds(self, text: str) -> float:
        """The time of a search for ``text``, in seconds of the episode."""
        recorded = self.episode.fetched.get(text)
        return self._median * _factor(self.seed, text) if recorded is None else recorded[1]


def _factor(seed: int, *texts: str) -> float:
    return math.exp(random.Random("|".join((str(seed), *texts))).gauss(0.0, _SPREAD))
