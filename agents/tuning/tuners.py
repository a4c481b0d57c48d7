"""``TuningPolicy`` and ``TuningGuesser``, which use a strategy; and strategies that ignore the measurements."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from spec_envs import Call, Effect
from spec_envs.agents.callable import CallableGuesser
from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.actions import read_action
from spec_envs.tuning.knobs import Knob, Setting, Value
from spec_envs.tuning.report import Report, Trial

Knobs = tuple["Knob", ...]
Trials = tuple["Trial", ...]


class Strategy(Protocol):
    """Chooses the next setting as a function of the windows so far, without state or unseeded randomness."""

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> Sequence[Setting]:
        """Return one to ``k`` settings on the knobs' grids, best first. ``trials`` holds at least one window."""
        ...


class TuningPolicy:
    """A strategy as a policy: ``policy(observation)`` returns a mapping of all knobs to values.

    Args:
        strategy: The strategy.
        knobs: The knobs of the environment: ``env.unwrapped.knobs``.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, strategy: Strategy, knobs: Knobs) -> None:
        self._strategy = strategy
        self._knobs = _checked(knobs)

    def __call__(self, observation: Any) -> dict[str, Value]:
        """Return the setting for the next window."""
        report = Report.of(observation, self._knobs)
        return dict(self._strategy.propose(report.trials, self._knobs, 1)[0])


class TuningGuesser(CallableGuesser):
    """A strategy as a guesser of another tuner's next setting, as a mapping of knobs to values.

    Settings are compared by the query that follows from them, on the knobs' grids. So a guess can be right whatever the
    format of the tuner's action. The guesser learns how often each rank is right.

    Args:
        strategy: The strategy.
        knobs: The knobs of the environment: ``env.unwrapped.knobs``.
    """

    def __init__(self, strategy: Strategy, knobs: Knobs) -> None:
        self._strategy = strategy
        self._knobs = _checked(knobs)
        super().__init__(self._propose)

    def _propose(self, call: Call, k: int) -> list[dict[str, Value]]:
        if call.handler != "policy":
            return []
        report = Report.of(call.query, self._knobs)
        return [dict(setting) for setting in self._strategy.propose(report.trials, self._knobs, k)]


def _checked(knobs: Knobs) -> Knobs:
    if not knobs:
        raise InvalidConfiguration("knobs must be those of the environment, env.unwrapped.knobs, and not empty")
    return tuple(knobs)


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    """Always chooses the same values. Knobs that are not named keep their values.

    Attributes:
        values: The values by the name of the knob.
    """

    values: Mapping[str, Value]

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> list[Setting]:
        """Return the fixed setting.

        Raises:
            InvalidAction: A value is out of bounds, or a knob does not exist.
        """
        return [read_action(knobs, dict(self.values), trials[-1].knobs)]


@dataclasses.dataclass(frozen=True, slots=True)
class SameAgain:
    """Chooses the setting of the last window, then the setting before that, and so on."""

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> list[Setting]:
        """Return the last settings, latest first, each once."""
        return list(dict.fromkeys(trial.knobs for trial in reversed(trials)))[:k]


@dataclasses.dataclass(frozen=True, slots=True)
class RandomSearch:
    """Chooses random points of the grids, drawn from ``seed`` and the number of the window.

    Attributes:
        seed: The seed of the draws.
    """

    seed: int = 0

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> list[Setting]:
        """Return ``k`` random settings."""
        rng = np.random.default_rng((self.seed, trials[-1].window))
        return [tuple((knob.name, knob.grid[rng.integers(len(knob.grid))]) for knob in knobs) for _ in range(k)]
