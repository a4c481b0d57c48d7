"""What the windows so far say of each setting that was tried."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spec_envs.tuning.actions import coordinates

if TYPE_CHECKING:
    from spec_envs.agents.tuning.tuners import Knobs, Trials
    from spec_envs.tuning.knobs import Setting


#: How far from the middle the first looks go, of 1 along each knob: ends are seldom best, and often bad.
_INNER = 0.6


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """A setting that was measured.

    Attributes:
        setting: Which.
        at: Its coordinates, from -1 to 1 along each knob's grid.
        score: The median of the logarithm of its ``p95``; less is better.
    """

    setting: Setting
    at: NDArray[np.float64]
    score: float


def tried(trials: Trials, knobs: Knobs) -> list[Tried]:
    """Every setting that was measured, in the order in which they were first tried.

    A window that is not valid counts where a setting has no other: to go on trying until one is would keep a system
    that is disturbed anyway under what may be a bad setting.
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
    """The setting that is nearest to coordinates from -1 to 1."""
    return tuple((knob.name, knob.decode(float(at))) for knob, at in zip(knobs, point, strict=True))


def looks(known: list[Tried], knobs: Knobs) -> list[Setting]:
    """Where to look first, of these settings those not tried yet.

    With one knob, halfway from where the episode started to the end of its grid where there is more room; then to the
    other side, but only a third of the way if that was better already: what is tried on a live system has its price.
    With more knobs, as many points as knobs, spread over the inner part of the grids (a Latin hypercube, the same for
    everybody).
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
