"""``RecordedSearchGuesser``: repeats the guesses that were made while an episode was recorded."""

from collections.abc import Mapping
from typing import Any

from spec_envs import Call, CancelToken, Guess, Usage
from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.callable import CallableGuesser
from spec_envs.checks import positive
from spec_envs.search.actions import Act, read_action
from spec_envs.search.pages import FetchQuery
from spec_envs.search.recordings import RecordedEpisode, RecordedStep, fetched_of

_CHARACTERS_PER_TOKEN = 4


class RecordedSearchGuesser:
    """Repeats the guesses of a recorded episode, of actions and of pages, after the recorded seconds.

    Serves calls to ``"policy"`` and ``"fetch"``. A call that is not in the record gets no guess, without delay.
    Probabilities are learned by rank. Tokens are estimated as one for each four characters read or written.

    Args:
        episode: The record.
        speed: The number of recorded seconds that pass in one second (> 0).
        ranks: Probabilities of guesses of actions, learned before. Default: new ones.
        pages: The same for guesses of pages.
    """

    def __init__(
        self,
        episode: RecordedEpisode,
        *,
        speed: float = 1.0,
        ranks: RankCalibration | None = None,
        pages: RankCalibration | None = None,
    ) -> None:
        self.episode = episode
        self.speed = positive("speed", speed)
        self._searches = {_searched(step): step for step in reversed(episode.steps)}
        actions = CallableGuesser(lambda call, k: _distinct_actions(self._step(call)), calibration=ranks)
        observations = CallableGuesser(
            lambda call, k: [fetched_of(call.query.text, self._step(call).guessed_observation)],
            calibration=pages or RankCalibration(prior=(0.02,)),
        )
        self._inner = {"policy": actions, "fetch": observations}

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """Return the first ``k`` recorded guesses; ``CallCancelled`` if the token was cancelled meanwhile."""
        step = self._recorded(call)
        if step is None:
            return []
        guessed = (*step.guessed_actions, step.guessed_observation)
        usage = Usage(tokens_in=_tokens(str(call.query)), tokens_out=sum(map(_tokens, guessed)))
        (cancel or CancelToken()).sleep(step.guess_seconds / self.speed, spending=usage)
        return self._inner[call.handler].guess(call, k)

    def observe(self, call: Call, response: Any) -> None:
        """Learn which rank was right, if the record holds guesses for this call."""
        if self._recorded(call) is not None:
            self._inner[call.handler].observe(call, response)

    def _recorded(self, call: Call) -> RecordedStep | None:
        """Return the recorded step in which ``call`` was made, if its response was guessed then."""
        if call.handler == "fetch" and isinstance(call.query, FetchQuery):
            step = self._searches.get(call.query.text)
            return step if step is not None and step.guessed_observation else None
        if call.handler == "policy" and isinstance(call.query, Mapping):
            number = self.episode.step_of(call.query)
            return None if number is None else self.episode.steps[number]
        return None

    def _step(self, call: Call) -> RecordedStep:
        step = self._recorded(call)
        assert step is not None
        return step


def _searched(step: RecordedStep) -> str | None:
    act = read_action(step.action)
    return act.argument if isinstance(act, Act) and act.name == "search" else None


def _distinct_actions(step: RecordedStep) -> list[str]:
    return list(dict.fromkeys(str(read_action(action)) for action in step.guessed_actions))


def _tokens(text: str) -> float:
    return len(text) / _CHARACTERS_PER_TOKEN
