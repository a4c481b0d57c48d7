"""Recorded episodes replayed: an agent that acts as recorded, and a site that answers as recorded."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken, Usage
from spec_envs.search.actions import read_action
from spec_envs.search.corpus.pages import Fetched, FetchQuery
from spec_envs.search.recordings.trajectories import RecordedStep

if TYPE_CHECKING:
    from spec_envs.search.recordings.trajectories import RecordedEpisode

#: Spread of the logarithm of the times that are not recorded.
_SPREAD = 0.4
_CHARACTERS_PER_TOKEN = 4


class RecordedAgent:
    """Acts as recorded. Its times are not recorded, so they are drawn: ``median_s * exp(N(0, 0.4²))`` seconds.

    On the record's observations: the recorded action, as the environment writes it (``search[…]``). Elsewhere (a wrong
    branch): the first recorded action that was not taken yet, or the right answer when there is none. A draw depends on
    the observation and ``seed`` alone. Tokens are estimated, as one for four characters: of the observation, which is
    read, and of thought and action, which are written. The effect is ``SAMPLE``, since it stands for a language model:
    equal calls are not to share a draw.

    Args:
        episode: The record.
        median_s: Median of its thinking time.
        speed: Seconds of the episode that pass in one second.
        seed: Seed of the thinking times.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, episode: RecordedEpisode, *, median_s: float = 8.0, speed: float = 1.0, seed: int = 0) -> None:
        _check(median_s=median_s, speed=speed)
        self.episode = episode
        self.median_s = median_s
        self.speed = speed
        self.seed = seed

    def __call__(self, query: Mapping[str, Any], cancel: CancelToken) -> str:
        """The action on an observation of ``SpecSearch-v0``.

        Raises:
            CallCancelled: The call was cancelled meanwhile.
        """
        step = self._step(query)
        read = len(query["question"]) + len(query["transcript"])
        usage = _usage(read, len(step.thought) + len(step.action))
        cancel.sleep(self.seconds(query) / self.speed, spending=usage)
        return str(read_action(step.action))

    def seconds(self, observation: Mapping[str, Any]) -> float:
        """How long it thinks about ``observation``, in seconds of the episode."""
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
    """Answers ``fetch`` calls as recorded, after the recorded seconds.

    What the episode did not search for (a wrong branch) is answered as another episode's search for it was, or else not
    found; after the median of the episode's times, times ``exp(N(0, 0.4²))`` by the query.

    Args:
        episode: The record.
        others: More episodes whose pages there are.
        speed: Seconds of the episode that pass in one second.
        seed: Seed of the times off the record.
    """

    def __init__(
        self, episode: RecordedEpisode, others: Iterable[RecordedEpisode] = (), *, speed: float = 1.0, seed: int = 0
    ) -> None:
        _check(speed=speed)
        self.episode = episode
        self.speed = speed
        self.seed = seed
        self._others: dict[str, Fetched] = {}
        for other in others:
            for text, (fetched, _) in other.fetched.items():
                self._others.setdefault(text, fetched)
        self._median = statistics.median([seconds for _, seconds in episode.fetched.values()] or [0.0])

    def __call__(self, query: FetchQuery, cancel: CancelToken) -> Fetched:
        """What a search for ``query.text`` finds.

        Raises:
            CallCancelled: The call was cancelled meanwhile.
        """
        cancel.sleep(self.seconds(query.text) / self.speed)
        recorded = self.episode.fetched.get(query.text)
        return self._others.get(query.text, Fetched(None)) if recorded is None else recorded[0]

    def seconds(self, text: str) -> float:
        """How long a search for ``text`` takes, in seconds of the episode."""
        recorded = self.episode.fetched.get(text)
        return self._median * _factor(self.seed, text) if recorded is None else recorded[1]


def _factor(seed: int, *texts: str) -> float:
    return math.exp(random.Random("|".join((str(seed), *texts))).gauss(0.0, _SPREAD))


def _usage(read: int, written: int) -> Usage:
    return Usage(tokens_in=read / _CHARACTERS_PER_TOKEN, tokens_out=written / _CHARACTERS_PER_TOKEN)


def _check(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise InvalidConfiguration(f"{name} must be above 0 and finite, not {value!r}")
