"""The ``simulated`` backend: models of workloads, with noise, which take no time or virtual time."""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np

from spec_envs.calls import Effect
from spec_envs.checks import boolean, number
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.knobs import Setting, Value
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.round_robin import RoundRobin

#: The range of the factor on the long latencies of an outlier, which is drawn uniformly.
_OUTLIER = (1.5, 3.0)


class ModelledWorkload(Workload, Protocol):
    """A workload that can be simulated, since it has a model."""

    def model(self, values: Mapping[str, Value]) -> Metrics:
        """The expected figures under these values of the knobs, without noise."""
        ...

    def best(self) -> float | None:
        """The least expected ``p95`` in ms of all settings; ``None`` if it is not known."""
        ...


class SimulatedBackend:
    """Measures models. The response is a function of the query: the noise depends on its seed, window and setting.

    Args:
        workload: The workload that runs if the user does not choose one.
        noise: Standard deviation of the logarithm of the factor on all latencies of a window, from 0 to 1.
        outliers: Share of the windows that are disturbed, from 0 to 1. Their long latencies are up to three times as
            long.
        carry_over: Share of a window that still has the figures of the previous setting, from 0 to 1.
        paced: Whether a window takes ``window_s`` seconds on the clock of the call, as on a real machine. Otherwise it
            takes no time.

    Raises:
        InvalidConfiguration: The workload has no model, or a number lies outside of its range.
    """

    effect = Effect.READ
    max_inflight: int | None = None

    def __init__(
        self,
        workload: Workload | None = None,
        *,
        noise: float = 0.03,
        outliers: float = 0.01,
        carry_over: float = 0.0,
        paced: bool = False,
    ) -> None:
        self.workload: ModelledWorkload = _modelled(workload or RoundRobin())
        self._noise = number("noise", noise, least=0, most=1)
        self._outliers = number("outliers", outliers, least=0, most=1)
        self._carry_over = number("carry_over", carry_over, least=0, most=1)
        self.carries_over = self._carry_over > 0
        self._paced = boolean("paced", paced)

    def __call__(self, query: MeasureQuery, cancel: CancelToken | None = None) -> Measurement:
        """The model's figures with noise; if the backend is paced, after ``query.window_s`` seconds.

        Raises:
            InvalidConfiguration: The workload has no model.
        """
        cancel = cancel or CancelToken()
        workload = _modelled(query.workload)
        if self._paced:
            cancel.sleep(query.window_s)
        metrics = workload.model(dict(query.knobs))
        expected = metrics.p95
        if query.previous is not None and query.previous != query.knobs:
            metrics = _mixed(metrics, workload.model(dict(query.previous)), self._carry_over)
        return Measurement(self._noisy(metrics, query), expected=expected)

    def best(self, workload: Workload) -> float | None:
        """The least ``p95`` in ms of the model; ``None`` if it is not known."""
        return _modelled(workload).best()

    def close(self) -> None:
        """Do nothing: a simulation holds no resources."""

    def _noisy(self, metrics: Metrics, query: MeasureQuery) -> Metrics:
        rng = np.random.default_rng(_digest(query.seed, query.window, query.knobs))
        factor = math.exp(self._noise * rng.standard_normal())
        tail = rng.uniform(*_OUTLIER) if rng.random() < self._outliers else 1.0
        return dataclasses.replace(
            metrics,
            p50=metrics.p50 * factor,
            p95=metrics.p95 * factor * tail,
            p99=metrics.p99 * factor * tail,
            max=metrics.max * factor * tail,
            mean=metrics.mean * factor,
            throughput=metrics.throughput / factor,
        )


def _modelled(workload: Workload) -> ModelledWorkload:
    # isinstance with a protocol would take a fifth of the time of a step.
    if not (hasattr(workload, "model") and hasattr(workload, "best")):
        raise InvalidConfiguration(f"the simulated backend needs a workload with a model(), and {workload!r} has none")
    return cast("ModelledWorkload", workload)


def _mixed(now: Metrics, before: Metrics, share: float) -> Metrics:
    """The figures of a window of which the ``share`` at its beginning has the figures ``before``."""
    names = ("p50", "p95", "p99", "mean", "throughput")
    mixed = {name: (1 - share) * getattr(now, name) + share * getattr(before, name) for name in names}
    return dataclasses.replace(now, max=max(now.max, before.max), **mixed)


def _digest(seed: int, window: int, setting: Setting) -> int:
    text = f"{seed}/{window}/{setting!r}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
