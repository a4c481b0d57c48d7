"""``HillClimb``: a strategy that steps along one knob at a time, and halves its steps when they stop helping."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np

from spec_envs.agents.tuning.measured import Tried, first_settings, snapped, tried
from spec_envs.agents.tuning.tuners import Knobs, Trials
from spec_envs.tuning.knobs import Setting

#: The first step, where a grid is 2 wide, and the number of times that it is halved.
_STEP, _HALVINGS = 0.5, 2


@dataclasses.dataclass(frozen=True, slots=True)
class HillClimb:
    """Tries some spread-out settings first, then steps from the best setting along one knob at a time.

    On a logarithmic knob a step is a factor. If no step in either direction along any knob is better by ``gain``, the
    steps are halved, at most twice. After that the best setting stays. Needs no optional package.

    Attributes:
        gain: The decrease of the logarithm of ``p95`` that counts as better.
    """

    gain: float = 0.05

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> list[Setting]:
        """Return the next steps, and last the best setting so far."""
        known = tried(trials, knobs)
        if not known:
            return [trials[-1].knobs]
        best = min(known, key=lambda each: each.score)
        ahead = itertools.chain(first_settings(known, knobs), self._steps(known, best, knobs))
        return list(dict.fromkeys([*itertools.islice(ahead, k), best.setting]))[:k]

    def _steps(self, known: list[Tried], best: Tried, knobs: Knobs) -> Iterator[Setting]:
        seen = {each.setting for each in known}
        around = 2 * len(knobs)
        for halvings in range(self._failures(known) // around, _HALVINGS + 1):
            for axis, side in itertools.product(range(len(knobs)), (-1.0, 1.0)):
                point = best.at.copy()
                point[axis] = np.clip(point[axis] + side * _STEP / 2**halvings, -1.0, 1.0)
                setting = snapped(knobs, point)
                if setting not in seen:
                    seen.add(setting)
                    yield setting

    def _failures(self, known: list[Tried]) -> int:
        """Return the number of settings tried since the last one that was better by ``gain`` than all before."""
        least, failures = math.inf, 0
        for each in known:
            better = each.score < least - self.gain
            least, failures = (each.score, 0) if better else (least, failures + 1)
        return failures
