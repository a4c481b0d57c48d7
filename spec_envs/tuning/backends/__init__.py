"""The backends of ``SpecTuning-v0``: each answers ``measure`` calls by running a workload, or a model of one."""

from collections.abc import Callable

from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.backends.program_backends import EevdfBackend, LoopbackBackend, SqliteBackend
from spec_envs.tuning.backends.protocol import Backend
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.backends.sysbench import SysbenchBackend
from spec_envs.tuning.measurement import Workload

BACKENDS = ("simulated", "eevdf", "sysbench", "sqlite", "sysctl")

_MAKE: dict[str, Callable[[Workload | None], Backend]] = {
    "simulated": SimulatedBackend,
    "eevdf": EevdfBackend,
    "sysbench": SysbenchBackend,
    "sqlite": SqliteBackend,
}


def make_backend(name: str, *, workload: Workload | None = None, allow_system: bool = False) -> Backend:
    """Make the backend called ``name``, which the caller has to close.

    The name "sysctl" stands for two backends: for a ``SystemWorkload`` the one that changes settings of the system, and
    for any other workload the one that works in a private network namespace.

    Raises:
        InvalidConfiguration: There is no backend of this name, or it cannot run ``workload``.
    """
    if name in _MAKE:
        return _MAKE[name](workload)
    if name == "sysctl":
        from spec_envs.tuning.backends.system_settings import SystemBackend, SystemWorkload  # needs a Unix

        if isinstance(workload, SystemWorkload):
            return SystemBackend(workload, allow_system=allow_system)
        return LoopbackBackend(workload)
    raise InvalidConfiguration(f"backend must be one of {', '.join(BACKENDS)}, or a Backend, not {name!r}")
