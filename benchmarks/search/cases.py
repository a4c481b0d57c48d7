"""What ``spec-envs bench search`` runs: recorded episodes, or an agent of ours on generated questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecSearch-v0)
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.search.loading import load_questions
from spec_envs.search.recordings.replay import RecordedAgent, RecordedSite
from spec_envs.search.world.embedded import embedded_corpus
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.latency import lognormal

if TYPE_CHECKING:
    from spec_envs.benchmarks.search.settings import SearchSettings
    from spec_envs.handling import Handler
    from spec_envs.search.questions import Question
    from spec_envs.search.recordings.trajectories import RecordedEpisode

#: Where it is not recorded: the median time of a page, as it is in the recorded episodes; and the spread of times.
_FETCH_S = 0.35
_SPREAD = 0.4


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """An episode to run: a question, who acts, and who answers the searches, with the time that each takes.

    ``record``: where the agent's actions and the guesses come from, if they are recorded.
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
        """One case for each recorded episode; what one did not search for may be answered by the others."""
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
