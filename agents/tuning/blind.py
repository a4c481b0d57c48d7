"""Strategies that do not look at what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from spec_envs.tuning.actions import read_action

if TYPE_CHECKING:
    from spec_envs.agents.tuning.tuners import Knobs, Trials
    from spec_envs.tuning.knobs import Setting, Value


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same values; a knob that is not named keeps its own.

    Attributes:
        values: By knob.
    """

    values: Mapping[str, Value]

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> list[Setting]:
        """The values.

        Raises:
            InvalidAction: A value is out of bounds, or there is no such knob.
        """
        return [read_action(knobs, dict(self.values), trials[-1].knobs)]


@dataclasses.dataclass(frozen=True, slots=True)
class SameAgain:
    """What was set in the last window; then what was set before that, and so on."""

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> list[Setting]:
        """The last settings, each once."""
        return list(dict.fromkeys(trial.knobs for trial in reversed(trials)))[:k]


@dataclasses.dataclass(frozen=True, slots=True)
class RandomSearch:
    """Any point of the grids, drawn from ``seed`` and the number of the window.

    Attributes:
        seed: Of what it draws.
    """

    seed: int = 0

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> list[Setting]:
        """So many settings as were asked for."""
        rng = np.random.default_rng((self.seed, trials[-1].window))
        return [tuple((knob.name, knob.grid[rng.integers(len(knob.grid))]) for knob in knobs) for _ in range(k)]
