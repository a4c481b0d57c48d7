"""The backends by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spec_envs.errors import InvalidConfiguration

if TYPE_CHECKING:
    from spec_envs.tuning.measuring import Backend, Workload

__all__ = ["BACKENDS", "make_backend"]

BACKENDS = ("simulated", "eevdf")


def make_backend(name: str, *, workload: Workload | None = None, allow_system: bool = False) -> Backend:
    """A new backend; the caller closes it.

    Raises:
        InvalidConfiguration: There is none of that name, or it cannot run the workload.
    """
    if name == "simulated":
        from spec_envs.tuning.simulated import SimulatedBackend

        return SimulatedBackend(workload)
    if name == "eevdf":
        from spec_envs.tuning.eevdf import EevdfBackend

        return EevdfBackend(workload)
    raise InvalidConfiguration(f"backend must be one of {', '.join(BACKENDS)}, or a Backend, not {name!r}")
