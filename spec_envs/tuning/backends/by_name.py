"""The backends by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spec_envs.errors import InvalidConfiguration

if TYPE_CHECKING:
    from spec_envs.tuning.measurement import Backend, Workload

__all__ = ["BACKENDS", "make_backend"]

BACKENDS = ("simulated", "eevdf", "sysbench", "sqlite", "sysctl")


def make_backend(name: str, *, workload: Workload | None = None, allow_system: bool = False) -> Backend:
    """A new backend; the caller closes it.

    Raises:
        InvalidConfiguration: There is none of that name, or it cannot run the workload.
    """
    if name == "simulated":
        from spec_envs.tuning.backends.simulated import SimulatedBackend

        return SimulatedBackend(workload)
    if name == "eevdf":
        from spec_envs.tuning.backends.eevdf import EevdfBackend

        return EevdfBackend(workload)
    if name == "sysbench":
        from spec_envs.tuning.backends.sysbench import SysbenchBackend

        return SysbenchBackend(workload)
    if name == "sqlite":
        from spec_envs.tuning.backends.sqlite import SqliteBackend

        return SqliteBackend(workload)
    if name == "sysctl":
        return _sysctl(workload, allow_system)
    raise InvalidConfiguration(f"backend must be one of {', '.join(BACKENDS)}, or a Backend, not {name!r}")


def _sysctl(workload: Workload | None, allow_system: bool) -> Backend:
    """One that changes the system if the workload is about that, else one that works in a namespace of its own."""
    from spec_envs.tuning.backends.system_settings import SystemBackend, SystemWorkload

    if isinstance(workload, SystemWorkload):
        return SystemBackend(workload, allow_system=allow_system)
    from spec_envs.tuning.backends.loopback import LoopbackBackend

    return LoopbackBackend(workload)
