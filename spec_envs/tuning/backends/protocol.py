"""The protocol of backends, and what several of them check."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from spec_envs.calls import Effect
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.pickling import NotPicklable
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload

WorkloadT = TypeVar("WorkloadT")

#: A window in which a workload had a smaller share of its cores' time was disturbed by another process.
LEAST_SHARE = 0.95
#: How often a window is measured until it is valid.
_ATTEMPTS = 3


class Backend(Protocol):
    """Runs workloads: the handler ``"measure"``, which several threads may call at once."""

    @property
    def workload(self) -> Workload:
        """The workload that runs if the user does not choose one."""
        ...

    @property
    def effect(self) -> Effect:
        """The effect of a measurement.

        ``READ`` for a function of the query; ``SAMPLE`` for a fresh draw that changes nothing outside of the backend;
        ``WRITE`` for a measurement that changes settings that others see. A branch never makes a ``WRITE``.
        """
        ...

    @property
    def max_inflight(self) -> int | None:
        """How many measurements may run at once without disturbing each other; ``None`` for any number."""
        ...

    @property
    def carries_over(self) -> bool:
        """Whether the previous setting influences a measurement, so that it must be part of the query."""
        ...

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """Apply the setting, settle, and measure."""
        ...

    def best(self, workload: Workload) -> float | None:
        """The best known ``p95`` in ms; ``None`` if none is known."""
        ...

    def close(self) -> None:
        """End what runs, and restore what was set. Idempotent."""


class MachineBackend(NotPicklable):
    """What backends of a real machine share: no setting has an effect on later windows, and the best one is unknown."""

    carries_over = False

    def best(self, workload: Workload) -> float | None:
        """``None``: the best ``p95`` is not known."""
        return None


def workload_for(backend: str, kind: type[WorkloadT], workload: Workload) -> WorkloadT:
    """``workload``, or ``InvalidConfiguration`` if it is not of the ``kind`` that the backend of this name runs."""
    if not isinstance(workload, kind):
        raise InvalidConfiguration(f"the {backend} backend runs a {kind.__name__}, not {workload!r}")
    return workload


def check_read_back(wanted: Mapping[str, object], found: Mapping[str, object]) -> None:
    """Raise ``HandlerFailed`` unless each setting in ``found`` has the value that was set."""
    for name, value in found.items():
        if value != wanted[name]:
            raise HandlerFailed(f"{name} was set to {wanted[name]!r}, but reads {value!r}")


def undisturbed(measure: Callable[[], Metrics]) -> tuple[Metrics, int]:
    """Call ``measure`` until the result is valid, at most three times; return the last result and the call count."""
    metrics, attempts = measure(), 1
    while not metrics.valid and attempts < _ATTEMPTS:
        metrics, attempts = measure(), attempts + 1
    return metrics, attempts
