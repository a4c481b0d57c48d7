"""Wrappers for environments and decorators for handlers."""

from spec_envs.wrappers.async_speculative import AsyncSpeculativeWrapper
from spec_envs.wrappers.certify import Certificate, Difference, Verdict, certify, certify_async
from spec_envs.wrappers.last_write_wins import LastWriteWins
from spec_envs.wrappers.live import LiveStatistics, LiveWindow
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime
from spec_envs.wrappers.runtimes.threads import ThreadRuntime
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.trace import Trace, TraceEvent
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculative import BoundPolicy, SpeculativeWrapper
from spec_envs.wrappers.tools import SpeculativeTools, ToolLimits, ToolRule, ToolStatistics

__all__ = [
    "AsyncSpeculativeWrapper",
    "BoundPolicy",
    "Certificate",
    "Difference",
    "HandlerLimit",
    "LastWriteWins",
    "Limits",
    "LiveStatistics",
    "LiveWindow",
    "SimulationRuntime",
    "SpeculativeTools",
    "SpeculativeWrapper",
    "Statistics",
    "ThreadRuntime",
    "ToolLimits",
    "ToolRule",
    "ToolStatistics",
    "Trace",
    "TraceEvent",
    "Verdict",
    "certify",
    "certify_async",
]
