"""The ``simulated`` backend: workloads that know their own model, with noise, in no time or in virtual time."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.workloads.round_robin import RoundRobin

if TYPE_CHECKING:
    from spec_envs.tuning.knobs import Knob, Setting, Value

__all__ = ["ModelledWorkload", "SimulatedBackend"]

#: How many times longer an outlier's long latencies are: between these, evenly.
_OUTLIER = (1.5, 3.0)


@runtime_checkable
class ModelledWorkload(Protocol):
    """A workload that can be simulated, because it says what to expect."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """What can be set."""

    def model(self, values: Mapping[str, Value]) -> Metrics:
        """The figures to expect with these values, without noise."""

    def best(self) -> float | None:
        """The least ``p95`` in ms that any setting is expected to have; ``None`` where it is not known."""


class SimulatedBackend:
    """Measures models. The response is a function of the query: noise comes from its seed, window and setting.

    Args:
        workload: What runs unless the user says otherwise.
        noise: Standard deviation of the logarithm of the factor on all latencies of a window.
        outliers: Share of the windows in which something got in the way: their long latencies are up to three times
            as long.
        carry_over: Share of a window that still shows the setting before, 0 to 1.
        paced: Whether a window takes its time (``window_s`` on the call's clock), as it does on a machine. With
            ``False`` it takes none.

    Raises:
        InvalidConfiguration: The workload has no model, or a share is none.
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
        for name, value in (("noise", noise), ("outliers", outliers), ("carry_over", carry_over)):
            if not 0.0 <= value <= 1.0:
                raise InvalidConfiguration(f"{name} must lie between 0 and 1, not {value!r}")
        self.workload: ModelledWorkload = _modelled(workload or RoundRobin())
        self.carries_over = carry_over > 0
        self._noise = noise
        self._outliers = outliers
        self._carry_over = carry_over
        self._paced = paced

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """The model's figures with noise, after as long as the window takes.

        Raises:
            InvalidConfiguration: The workload has no model.
        """
        workload = _modelled(query.workload)
        if self._paced:
            cancel.sleep(query.window_s)
        metrics = workload.model(dict(query.knobs))
        expected = metrics.p95
        if query.previous is not None and query.previous != query.knobs:
            metrics = _mixed(metrics, workload.model(dict(query.previous)), self._carry_over)
        return Measurement(self._noisy(metrics, query), expected=expected)

    def best(self, workload: Workload) -> float | None:
        """The model's least ``p95`` in ms."""
        return _modelled(workload).best()

    def close(self) -> None:
        """Nothing to do."""

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
    if not isinstance(workload, ModelledWorkload):
        raise InvalidConfiguration(f"the simulated backend needs a workload with a model(), and {workload!r} has none")
    return workload


def _mixed(now: Metrics, before: Metrics, share: float) -> Metrics:
    """What a window shows when so large a ``share`` of it belongs to the setting before."""
    names = ("p50", "p95", "p99", "mean", "throughput")
    mixed = {name: (1 - share) * getattr(now, name) + share * getattr(before, name) for name in names}
    return dataclasses.replace(now, max=max(now.max, before.max), **mixed)


def _digest(seed: int, window: int, setting: Setting) -> int:
    text = f"{seed}/{window}/{setting!r}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
