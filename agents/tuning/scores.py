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

__all__ = ["Tried", "looks", "snapped", "tried"]


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """A setting that was measured.

    Attributes:
        setting: Which.
        at: Its coordinates, from -1 to 1 along each knob's grid.
        score: The median of the logarithm of its ``p95``; less is better.
        times: In how many windows.
    """

    setting: Setting
    at: NDArray[np.float64]
    score: float
    times: int


def tried(trials: Trials, knobs: Knobs) -> list[Tried]:
    """Every setting with a valid window, in the order in which they were first tried."""
    scores: dict[Setting, list[float]] = {}
    for trial in trials:
        if trial.metrics.valid and trial.metrics.p95 > 0:
            scores.setdefault(trial.knobs, []).append(math.log(trial.metrics.p95))
    return [
        Tried(setting, np.asarray(coordinates(knobs, setting), np.float64), statistics.median(logs), len(logs))
        for setting, logs in scores.items()
    ]


def snapped(knobs: Knobs, point: NDArray[np.float64]) -> Setting:
    """The setting that is nearest to coordinates from -1 to 1."""
    return tuple((knob.name, knob.decode(float(at))) for knob, at in zip(knobs, point, strict=True))


def looks(known: list[Tried], knobs: Knobs) -> list[Setting]:
    """Where to look first: halfway from where the episode started to corners of the grids; those not tried yet.

    With one knob these are its ends, that with more room first; with more, a pair of opposite corners for each two of
    them, drawn once and for all.
    """
    start = known[0].at
    rng = np.random.default_rng(len(knobs))
    signs = [rng.choice((-1.0, 1.0), len(knobs)) for _ in range((len(knobs) + 1) // 2)]
    first = -np.where(start >= 0, 1.0, -1.0)  # where there is more room
    corners = [corner for each in (first, *signs[1:]) for corner in (each, -each)]
    seen = {each.setting for each in known}
    found = dict.fromkeys(snapped(knobs, (start + corner) / 2) for corner in corners)
    return [setting for setting in found if setting not in seen]
