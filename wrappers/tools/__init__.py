"""``SpeculativeTools``, for tools of agents whose loop belongs to another package, and adapters for such packages.

The adapters ``mcp``, ``openai_agents`` and ``langgraph`` need the extras of the same names.
"""

from spec_envs.wrappers.tools.audit import AuditEntry, ToolAudit, ToolStatistics
from spec_envs.wrappers.tools.blocking import BlockingTools
from spec_envs.wrappers.tools.estimates import ToolEstimates
from spec_envs.wrappers.tools.limits import ToolLimits
from spec_envs.wrappers.tools.ports import Port, qualified
from spec_envs.wrappers.tools.proxy import SpeculativeTools, ToolRun
from spec_envs.wrappers.tools.rules import ToolRule

__all__ = [
    "AuditEntry",
    "BlockingTools",
    "Port",
    "SpeculativeTools",
    "ToolAudit",
    "ToolEstimates",
    "ToolLimits",
    "ToolRule",
    "ToolRun",
    "ToolStatistics",
    "qualified",
]
