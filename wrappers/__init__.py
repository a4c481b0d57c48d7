"""Wrappers that make agents faster, and what they are set up with.

``SpeculativeWrapper`` and ``AsyncSpeculativeWrapper`` speculate without changing what the agent does; ``certify`` and
``certify_async`` test that. ``SpeculativeTools`` speculates on the tools of agents whose loop belongs to another
package. ``LastWriteWins`` is lossy. Decorators of handlers are in ``spec_envs.wrappers.handlers``, ``.latency``,
``.cache`` and ``.recording``.
"""

from spec_envs.wrappers.async_speculative import AsyncSpeculativeWrapper
from spec_envs.wrappers.certificate import Certificate, Verdict
from spec_envs.wrappers.certify import certify, certify_async
from spec_envs.wrappers.last_write_wins import LastWriteWins
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime
from spec_envs.wrappers.runtimes.threads import ThreadRuntime
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.trace import Trace
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculative import SpeculativeWrapper
from spec_envs.wrappers.tools import SpeculativeTools
from spec_envs.wrappers.workers.permits import SharedLimit
from spec_envs.wrappers.workers.player import Rollout

__all__ = [
    "AsyncSpeculativeWrapper",
    "Certificate",
    "HandlerLimit",
    "LastWriteWins",
    "Limits",
    "Rollout",
    "SharedLimit",
    "SimulationRuntime",
    "SpeculativeTools",
    "SpeculativeWrapper",
    "Statistics",
    "ThreadRuntime",
    "Trace",
    "Verdict",
    "certify",
    "certify_async",
]
