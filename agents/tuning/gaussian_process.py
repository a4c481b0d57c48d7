"""``GaussianProcess``: a strategy by Bayesian optimisation with scikit-learn's Gaussian process."""

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spec_envs.agents.tuning.hill_climb import Tried, first_settings, snapped, tried
from spec_envs.agents.tuning.tuners import Knobs, Trials
from spec_envs.extras import needed
from spec_envs.tuning.knobs import Setting

#: Returns the expected improvement at each point.
Gain = Callable[[NDArray[np.float64]], NDArray[np.float64]]

#: The number of points considered around the best setting, and around the most promising points.
_POINTS, _REFINED = 1500, 200
#: The greatest distance of a considered point from the best setting: its first value, its least value, and the number
#: of windows without improvement after which it is halved. Each knob ranges from -1 to 1.
_REACH, _LEAST_REACH, _PATIENCE = 0.35, 0.15, 6.0


@dataclasses.dataclass(frozen=True, slots=True)
class GaussianProcess:
    """Predicts results from similar settings, and tries the most promising setting. Needs the extra ``tuning``.

    The first windows try spread-out settings (``first_settings``). Then the logarithm of ``p95`` is modelled over the
    knobs' coordinates, with a smooth kernel and noise. Among settings around the best one, the setting with the
    greatest expected improvement is tried, if that improvement is ``worthwhile``; otherwise the best setting stays. The
    search around the best setting narrows while there is no improvement.

    Attributes:
        worthwhile: The least expected decrease of the logarithm of ``p95`` for which a new setting is tried.
    """

    worthwhile: float = 0.002

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> list[Setting]:
        """Return the most promising settings.

        Raises:
            DependencyNotInstalled: scikit-learn is missing.
        """
        known = tried(trials, knobs)
        if not known:
            return [trials[-1].knobs]
        return first_settings(known, knobs)[:k] or self._search(known, knobs, k)

    def _search(self, known: list[Tried], knobs: Knobs, k: int) -> list[Setting]:
        at = np.array([each.at for each in known])
        model = _Model(at, np.array([each.score for each in known]))
        expected, _ = model(at)
        best = known[int(np.argmin(expected))]
        least = float(np.min(expected))
        settings = _around(best, _reach(known), knobs, lambda points: _improvement(least, *model(points)), len(known))
        points = np.array([_coordinates(setting, knobs) for setting in settings])
        gain = _improvement(least, *model(points))
        ranked = np.argsort(-gain, kind="stable")[:k]
        worth = [settings[index] for index in ranked if gain[index] > self.worthwhile]
        return list(dict.fromkeys([*worth, best.setting]))[:k]


class _Model:
    """Predicts the mean and the standard deviation of the logarithm of ``p95`` at coordinates, without noise."""

    def __init__(self, at: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        with needed("GaussianProcess (unlike HillClimb)", "tuning"):
            from sklearn.exceptions import ConvergenceWarning
            from sklearn.gaussian_process import GaussianProcessRegressor
            from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
        kernel = ConstantKernel(1.0, (0.1, 100.0)) * RBF(1.5, (0.5, 10.0)) + WhiteKernel(0.01, (1e-3, 0.3))
        self._process: Any = GaussianProcessRegressor(kernel, alpha=1e-6, normalize_y=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its bound is acceptable
            self._process.fit(at, scores)
        self._noise = self._process.kernel_.k2.noise_level * max(float(np.var(scores)), 1e-12)

    def __call__(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean, deviation = self._process.predict(points, return_std=True)
        return mean, np.sqrt(np.maximum(deviation**2 - self._noise, 1e-12))


def _reach(known: list[Tried]) -> float:
    since = len(known) - 1 - int(np.argmin([each.score for each in known]))
    return max(_LEAST_REACH, _REACH * math.pow(0.5, max(0, since - 1) / _PATIENCE))


def _around(best: Tried, reach: float, knobs: Knobs, gain: Gain, seed: int) -> list[Setting]:
    """Return settings around the best one, most of which differ in few knobs, and others near promising points."""
    rng, shape = np.random.default_rng(seed), (_POINTS, len(knobs))
    moved = rng.random(shape) < rng.choice((0.2, 0.5, 1.0), (_POINTS, 1))
    points = np.clip(best.at + moved * rng.uniform(-reach, reach, shape), -1.0, 1.0)
    for step in (reach / 4, reach / 8):
        top = points[np.argsort(-gain(points))[:8]]
        moves = rng.normal(0.0, step, (_REFINED, len(knobs))) * (rng.random((_REFINED, len(knobs))) < 0.5)
        points = np.concatenate((top, np.clip(np.repeat(top, _REFINED // 8, axis=0) + moves, -1.0, 1.0)))
    return list(dict.fromkeys(snapped(knobs, point) for point in points))


def _coordinates(setting: Setting, knobs: Knobs) -> list[float]:
    return [knob.encode(value) for knob, (_, value) in zip(knobs, setting, strict=True)]


def _improvement(least: float, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the expected improvement over ``least`` at each point."""
    from scipy.stats import norm  # comes with scikit-learn

    z = (least - mean) / deviation
    gain: NDArray[np.float64] = (least - mean) * norm.cdf(z) + deviation * norm.pdf(z)
    return gain
