"""``HillClimb``: a strategy that steps along one knob at a time, and the measured settings that it starts from."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spec_envs.agents.tuning.tuners import Knobs, Trials
from spec_envs.tuning.actions import coordinates
from spec_envs.tuning.knobs import Setting

#: The greatest distance of the first settings from the middle of a knob (-1 to 1): ends are seldom best, and often bad.
_INNER = 0.6


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """A setting that was measured."""

    setting: Setting
    at: NDArray[np.float64]  # its coordinates, from -1 to 1 along each knob's grid
    score: float  # the median of the logarithm of its ``p95``; less is better


def tried(trials: Trials, knobs: Knobs) -> list[Tried]:
    """Return every setting that was measured, in the order in which they were first tried.

    Windows that are not valid count only for a setting without valid windows. Repeating a setting until a window is
    valid could keep a disturbed system under a bad setting.
    """
    scores: dict[Setting, dict[bool, list[float]]] = {}
    for trial in trials:
        if trial.metrics.p95 > 0:
            found = scores.setdefault(trial.knobs, {True: [], False: []})
            found[trial.metrics.valid].append(math.log(trial.metrics.p95))
    return [
        Tried(
            setting, np.asarray(coordinates(knobs, setting), np.float64), statistics.median(found[True] or found[False])
        )
        for setting, found in scores.items()
    ]


def snapped(knobs: Knobs, point: NDArray[np.float64]) -> Setting:
    """Return the setting that is nearest to coordinates from -1 to 1."""
    return tuple((knob.name, knob.decode(float(at))) for knob, at in zip(knobs, point, strict=True))


def first_settings(known: list[Tried], knobs: Knobs) -> list[Setting]:
    """Return the first settings to try, without those that were tried already.

    With one knob, the first setting is halfway to the farther end of the grid. The second is halfway to the other end,
    or only a third of the way if the first one was better, since bad settings harm a live system. With several knobs,
    there are as many settings as knobs, spread over the inner part of the grids (a fixed Latin hypercube).
    """
    if len(knobs) == 1:
        start = known[0].at
        end = np.where(start >= 0, -1.0, 1.0)
        better = len(known) > 1 and known[1].score < known[0].score
        points = [start + (end - start) / 2, start + (-end - start) / (3 if better else 2)]
    else:
        points = list(_INNER * _latin_hypercube(len(knobs)))
    seen = {each.setting for each in known}
    return [setting for setting in dict.fromkeys(snapped(knobs, point) for point in points) if setting not in seen]


def _latin_hypercube(count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(count)
    strata = np.array([rng.permutation(count) for _ in range(count)]).T
    return 2.0 * (strata + 0.5) / count - 1.0


#: The first step, on grids from -1 to 1, and how often the step is halved.
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
        """Return the next steps, and then the best setting so far."""
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
