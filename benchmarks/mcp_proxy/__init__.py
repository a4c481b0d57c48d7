"""``spec-envs bench mcp-proxy``: what does ``spec-envs mcp-proxy`` save a client, and what does it cost a call?"""

import dataclasses

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import Settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class McpProxySettings(Settings):
    """Let an MCP client do the same tasks with and without the proxy, in turns, on the clock (two minutes).

    In a task a record leads to the next one, over five tools; before each call the client thinks. A server that answers
    at once shows what the proxy adds to a call.
    """

    tasks: int = setting(16, "Tasks, each done once without the proxy and once with it.", ge=2)
    learning: int = setting(6, "How many of the tasks, from the first one on, are learned from and not counted.", ge=1)
    model_s: float = setting(0.4, "How long the client thinks before a call, in seconds.", ge=0)
    tool_s: float = setting(0.3, "How long a tool takes, in seconds.", ge=0)
    calls: int = setting(300, "Calls of the tool that answers at once, on each side.", ge=10)
    seed: int = options.seed("Seed of the tasks.")

    def check(self) -> None:
        """Check that there are tasks to count."""
        options.check_learning(self.learning, self.tasks)
