"""``spec-envs bench mcp-proxy``: what does ``spec-envs mcp-proxy`` save a client, and what does it cost a call?"""

import dataclasses

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import Settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class McpProxySettings(Settings):
    """Let an MCP client do the same tasks with and without the proxy, in turns, on the wall clock (two minutes).

    In a task, the client follows records from one to the next, through five tools, and thinks before each call. A
    server that answers at once shows how much time the proxy adds to a call.
    """

    tasks: int = setting(16, "How many tasks are done, each once without the proxy and once with it.", ge=2)
    learning: int = setting(6, "How many of the first tasks serve only for learning, and are not counted.", ge=1)
    model_s: float = setting(0.4, "How long the client thinks before a call, in seconds.", ge=0)
    tool_s: float = setting(0.3, "How long a tool takes, in seconds.", ge=0)
    calls: int = setting(300, "How many calls the tool that answers at once gets, with and without the proxy.", ge=10)
    seed: int = options.seed("Seed of the tasks.")

    def check(self) -> None:
        """Check that there are tasks to count."""
        options.check_learning(self.learning, self.tasks)
