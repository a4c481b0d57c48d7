"""Recorded episodes of ReAct on HotpotQA: actions, observations, latencies of the site, and guesses."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

from spec_envs.search.actions import Act, read_action
from spec_envs.search.env import SearchEnv
from spec_envs.search.pages import Fetched
from spec_envs.search.questions import Question
from spec_envs.search.recordings.recovered_pages import fetched_of, with_lookup_result

#: How many steps ReAct allows on HotpotQA.
_MAX_STEPS = 7


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """An action, its result, and a guesser's predictions of both.

    Attributes:
        action: The action as the agent wrote it.
        observation: The result of the action.
        seconds: How long the site took.
        thought: The text that the agent wrote before the action.
        guessed_actions: Predictions of the action, most likely first.
        guessed_observation: Prediction of the result of a search; empty if there was none.
        guess_seconds: How long guessing took. The file has 0 for a step without a search, where guessing was not timed;
            then it is the median of the other steps of the episode, or else of the file.
    """

    action: str
    observation: str
    seconds: float = 0.0
    thought: str = ""
    guessed_actions: tuple[str, ...] = ()
    guessed_observation: str = ""
    guess_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class RecordedEpisode:
    """A recorded episode.

    Attributes:
        name: The episode's name in tables and errors.
        question: The question with its answer.
        agent: The model that acted.
        guesser: The model that guessed.
        k: How many guesses the guesser was to return at most.
        steps: One or more steps; ``finish`` can only be the last.
    """

    name: str
    question: Question
    agent: str
    guesser: str
    k: int
    steps: tuple[RecordedStep, ...]

    @property
    def finished(self) -> bool:
        """Whether the episode ends with an answer."""
        act = read_action(self.steps[-1].action)
        return isinstance(act, Act) and act.name == "finish"

    @property
    def max_steps(self) -> int:
        """The ``max_steps`` with which an environment ends the episode after the same step as the record."""
        return max(_MAX_STEPS, len(self.steps)) if self.finished else len(self.steps)

    @functools.cached_property
    def fetched(self) -> Mapping[str, tuple[Fetched, float]]:
        """By the text of a search: its result, and how many seconds it took. Of equal searches only the first counts.

        The pages are recovered so that ``SearchEnv`` shows what was recorded. The results of lookups are appended to
        their page, if that does not change its first sentences.
        """
        found: dict[str, tuple[Fetched, float]] = {}
        text = ""
        for step in self.steps:
            act = read_action(step.action)
            if not isinstance(act, Act) or act.name == "finish":
                continue
            if act.name == "search":
                if act.argument not in found:
                    found[act.argument] = fetched_of(act.argument, step.observation), step.seconds
                if found[act.argument][0].page is not None:
                    text = act.argument
            elif text:
                fetched, seconds = found[text]
                assert fetched.page is not None
                found[text] = Fetched(with_lookup_result(fetched.page, act.argument, step.observation)), seconds
        return found

    @functools.cached_property
    def observations(self) -> tuple[Mapping[str, Any], ...]:
        """The observations of ``SearchEnv`` when the recorded actions are replayed: of ``reset``, and of each step."""
        with SearchEnv(
            backend=lambda query: self.fetched[query.text][0], questions=[self.question], max_steps=self.max_steps
        ) as env:
            shown = [env.reset()[0]]
            shown.extend(env.step(step.action)[0] for step in self.steps)
        return tuple(shown)

    @property
    def differences(self) -> tuple[int, ...]:
        """The numbers, from 0, of the steps whose replayed observation differs from the recorded one.

        The reward in the last observation is ignored, since the source scored some answers differently.
        """
        pairs = zip(self.steps, self.observations[1:], strict=True)
        return tuple(
            number
            for number, (step, shown) in enumerate(pairs)
            if _without_reward(shown["observation"]) != _without_reward(step.observation)
        )

    def step_of(self, observation: Mapping[str, Any]) -> int | None:
        """The number, from 0, of the step that was taken on ``observation``; ``None`` if there is no such step."""
        number = self._numbers.get(observation["transcript"])
        return number if observation["question"] == self.question.text else None

    @functools.cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {shown["transcript"]: number for number, shown in enumerate(self.observations[:-1])}


def _without_reward(observation: str) -> str:
    return re.sub(r"(?<=^Episode finished, reward = ).*", "", observation)
