"""The episodes of ``spec-envs bench search``: recorded ones, or a scripted agent on generated questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecSearch-v0)
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.benchmarks.search import SearchSettings
from spec_envs.handling import Handler
from spec_envs.search.loading import load_questions
from spec_envs.search.questions import Question
from spec_envs.search.recordings.replay import RecordedAgent, RecordedSite
from spec_envs.search.recordings.trajectories import RecordedEpisode
from spec_envs.search.world.embedded import embedded_corpus
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.latency import lognormal

#: For episodes that are not recorded: the median time of a page, as in the recorded ones, and the spread of all times.
_FETCH_S = 0.35
_SPREAD = 0.4


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """An episode to run: a question, the agent, and the site that answers searches; both take their time.

    Args:
        name: Name of the episode.
        question: The question that the agent answers.
        agent: Name of the agent.
        policy: The agent.
        site: The site.
        max_steps: Actions after which the episode is truncated.
        record: The record that the agent's actions and the guesses come from, if there is one.
    """

    name: str
    question: Question
    agent: str
    policy: Handler
    site: Handler
    max_steps: int
    record: RecordedEpisode | None = None

    @classmethod
    def recorded(cls, episodes: Sequence[RecordedEpisode], settings: SearchSettings) -> list[Self]:
        """One case for each recorded episode; a search that one record lacks is answered from the other records."""
        speed, seed = settings.time_scale, settings.seed
        return [
            cls(
                episode.name,
                episode.question,
                episode.agent,
                RecordedAgent(episode, median_s=settings.agent_seconds, speed=speed, seed=seed),
                RecordedSite(episode, episodes, speed=speed, seed=seed),
                episode.max_steps,
                episode,
            )
            for episode in episodes
        ]

    @classmethod
    def embedded(cls, split: str, settings: SearchSettings) -> list[Self]:
        """One case for each question of a split of the embedded wiki, with the scripted agent."""
        speed, seed = settings.time_scale, settings.seed
        thinking = lognormal(settings.agent_seconds / speed, _SPREAD, seed)
        site = with_latency(embedded_corpus(), lognormal(_FETCH_S / speed, _SPREAD, seed))
        policy = with_latency(ScriptedSearchPolicy(), thinking)
        return [cls(each.id, each, "scripted", policy, site, 10) for each in load_questions("embedded", split)]

    def env(self) -> gym.Env[Any, Any]:
        """A new environment of the episode."""
        return gym.make(
            "SpecSearch-v0", backend=self.site, questions=[self.question], question_index=0, max_steps=self.max_steps
        )
