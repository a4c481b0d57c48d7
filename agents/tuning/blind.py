"""Strategies that ignore the measurements: ``Fixed``, ``SameAgain`` and ``RandomSearch``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from spec_envs.agents.tuning.tuners import Knobs, Trials
from spec_envs.tuning.actions import read_action
from spec_envs.tuning.knobs import Setting, Value


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
