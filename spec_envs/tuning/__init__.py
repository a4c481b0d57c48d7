"""Tuning: ``SpecTuning-v0``, its ``measure`` calls, knobs and workloads, and the backends that measure them."""

from spec_envs.tuning.backends.live_system import LiveBackend
from spec_envs.tuning.backends.protocol import Backend
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.env import TuningEnv
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.models import Surface
from spec_envs.tuning.report import Report
from spec_envs.tuning.round_robin import RoundRobin

__all__ = [
    "Backend",
    "Knob",
    "LiveBackend",
    "MeasureQuery",
    "Measurement",
    "Metrics",
    "Report",
    "RoundRobin",
    "SimulatedBackend",
    "Surface",
    "TuningEnv",
    "Workload",
]
