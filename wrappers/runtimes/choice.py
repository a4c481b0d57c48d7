"""The choice of a runtime by its name."""

from __future__ import annotations

from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime
from spec_envs.wrappers.runtimes.threads import ThreadRuntime


def make_runtime(runtime: str | Runtime) -> Runtime:
    """Return a new runtime of that name, or ``runtime`` itself if it is a runtime already.

    Raises:
        InvalidConfiguration: The name is neither "threads" nor "simulation".
    """
    if not isinstance(runtime, str):
        return runtime
    if runtime == "threads":
        return ThreadRuntime()
    if runtime == "simulation":
        return SimulationRuntime()
    hint = "; AsyncSpeculativeWrapper is for asyncio" if runtime == "asyncio" else ""
    raise InvalidConfiguration(f"runtime must be 'threads', 'simulation' or a runtime object, not {runtime!r}{hint}")
