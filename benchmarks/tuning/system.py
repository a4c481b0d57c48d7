"""The systems that ``spec-envs bench tuning`` tunes: backends, workloads and the arguments of ``SpecTuning-v0``."""

from __future__ import annotations

from typing import Any

from spec_envs.benchmarks.tuning.settings import ROUND_ROBIN, TuningSettings
from spec_envs.tuning.backends import make_backend
from spec_envs.tuning.backends.protocol import Backend
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.measurement import Workload
from spec_envs.tuning.models import SLICE, RoundRobin, Surface


def workload_of(settings: TuningSettings, seed: int) -> Workload | None:
    """The workload of an episode; ``None`` for the backend's own."""
    if settings.knobs > 1:
        return Surface(settings.knobs, seed)
    return RoundRobin(settings.service_ms, settings.tasks) if settings.backend in ROUND_ROBIN else None


def backend_of(settings: TuningSettings) -> Backend:
    """The backend; the caller closes it."""
    if settings.backend == "simulated":
        return SimulatedBackend(paced=True)
    return make_backend(settings.backend, workload=workload_of(settings, 0), allow_system=False)


def arguments_of(settings: TuningSettings) -> dict[str, Any]:
    """Arguments of ``SpecTuning-v0``."""
    has_slice = settings.knobs == 1 and settings.backend in (*ROUND_ROBIN, "sysbench")
    return {
        "start": {SLICE.name: settings.start} if has_slice else None,
        "window_s": settings.window_s,
        "settle_s": min(0.1, settings.window_s / 10),
        # The environment does not count the window of the starting setting; the tuner sees all windows.
        "windows": max(1, settings.windows - 1),
        "history": settings.windows,
    }


def best_values(workload: Workload) -> dict[str, Any]:
    """The setting with the least expected ``p95``."""
    if isinstance(workload, Surface):
        return workload.best_values()
    assert isinstance(workload, RoundRobin)  # the settings allow the actor "best" for no other workload
    return {SLICE.name: min(SLICE.grid, key=lambda value: workload.model({SLICE.name: value}).p95)}
