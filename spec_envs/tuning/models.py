"""A model of a machine with many knobs: a smooth surface with one best setting."""

import dataclasses
import functools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spec_envs.checks import keep_integers
from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.knobs import Knob, Value
from spec_envs.tuning.measurement import Metrics

#: Knobs that a server may have. A surface with ``n`` knobs has the first ``n`` of these.
_KNOBS = (
    Knob("workers", "int", 1, 64, log=True, default=4, steps=25),
    Knob("batch_size", "int", 1, 1024, log=True, default=8, steps=41),
    Knob("buffer_mb", "float", 1.0, 4096.0, log=True, default=16.0, steps=49, unit="MB"),
    Knob("timeout_ms", "float", 1.0, 1000.0, log=True, default=500.0, unit="ms"),
    Knob("prefetch", "int", 0, 32, default=0, steps=33),
    Knob("placement", "choice", choices=("pack", "near", "mixed", "far", "spread"), default="pack"),
)
_LEAST, _MOST = 2, len(_KNOBS)
#: How far from 0, the middle of the grid, the best coordinate of a knob may lie.
_INNER = 0.6
#: Heights of the bowl and of the waves on it, in the logarithm of p95.
_STEEPNESS, _WAVES = 1.6, 0.04
#: How much any two knobs depend on each other: the absolute value of their correlation.
_COUPLING = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Surface:
    """A server with 2 to 6 knobs: ``p95`` is ``best_ms`` times the exponential of a tilted bowl with small waves on it.

    The axes of the bowl do not lie along the knobs, so the best value of a knob depends on the other knobs. The lowest
    point is a point of the grid, and never at an edge. Bowl and lowest point are drawn from ``seed``.

    Attributes:
        num_knobs: Number of knobs, from 2 to 6.
        seed: Seed of the surface, at least 0.
        best_ms: The least ``p95`` in ms, above 0.
    """

    num_knobs: int = 6
    seed: int = 0
    best_ms: float = 20.0

    def __post_init__(self) -> None:
        keep_integers(self, num_knobs=_LEAST, seed=0)
        if self.num_knobs > _MOST:
            raise InvalidConfiguration(f"num_knobs must be at most {_MOST}, not {self.num_knobs!r}")
        if not (math.isfinite(self.best_ms) and self.best_ms > 0):
            raise InvalidConfiguration(f"best_ms must be above 0 ms, not {self.best_ms!r}")

    @property
    def name(self) -> str:
        """Such as "surface 6/0": the number of knobs and the seed."""
        return f"surface {self.num_knobs}/{self.seed}"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The first ``num_knobs`` of six."""
        return _KNOBS[: self.num_knobs]

    def model(self, values: Mapping[str, Value]) -> Metrics:
        """The expected figures, without noise."""
        optimum, bowl = _shape(self.num_knobs, self.seed)
        away = np.array([knob.encode(values[knob.name]) for knob in self.knobs]) - optimum
        height = away @ bowl @ away + _WAVES * float(np.sum(1.0 - np.cos(3.0 * math.pi * away)))
        p95 = self.best_ms * math.exp(float(height))
        return Metrics(p95 / 2, p95, p95 * 1.3, p95 * 2, p95 * 0.55, 1e4 / p95, 1.0, True)

    def best(self) -> float:
        """The least ``p95`` in ms."""
        return self.best_ms

    def best_values(self) -> dict[str, Value]:
        """The values of the knobs at the lowest point."""
        optimum, _ = _shape(self.num_knobs, self.seed)
        return {knob.name: knob.decode(float(at)) for knob, at in zip(self.knobs, optimum, strict=True)}


@functools.lru_cache(maxsize=64)
def _shape(num_knobs: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The coordinates of the lowest point, and the positive definite matrix of the bowl."""
    rng = np.random.default_rng((seed, num_knobs))
    knobs = _KNOBS[:num_knobs]
    optimum = np.array([knob.encode(knob.decode(float(rng.uniform(-_INNER, _INNER)))) for knob in knobs])
    signs, widths = rng.choice((-1.0, 1.0), num_knobs), rng.uniform(0.7, 1.2, num_knobs)
    coupled = (1.0 - _COUPLING) * np.eye(num_knobs) + _COUPLING * np.outer(signs, signs)
    return optimum, _STEEPNESS / math.sqrt(num_knobs) * np.outer(widths, widths) * coupled
