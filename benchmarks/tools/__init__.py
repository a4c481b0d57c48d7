"""``spec-envs bench tools``: what does ``SpeculativeTools`` save an agent whose loop an SDK runs?"""

import dataclasses

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import Settings, setting
from spec_envs.wrappers.tools import ToolLimits


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToolsSettings(Settings):
    """Let agents of the OpenAI Agents SDK call tools, with and without speculation (two and a half minutes)."""

    tasks: int = setting(20, "How many tasks each agent does, one after the other.", ge=1)
    learning: int = setting(10, "How many of the first tasks serve only for learning, and are not counted.", ge=0)
    model_s: float = setting(1.0, "How long the model takes for each answer, in seconds.", ge=0)
    tool_s: float = setting(0.3, "How long a tool takes, in seconds.", ge=0)
    max_inflight: int = options.max_inflight(4)
    selectivity: float = setting(
        1 / 9,
        "How sure speculation has to be: the least odds of a call that is made ahead of time. 0: make every guessed "
        "call.",
        ge=0,
        default_text="1/9",
    )
    seed: int = options.seed("Seed of the tasks.")

    @property
    def limits(self) -> ToolLimits:
        """The limits of the speculation."""
        return ToolLimits(max_inflight=self.max_inflight, min_probability=self.selectivity / (1 + self.selectivity))

    def check(self) -> None:
        """Check that there are tasks to count."""
        options.check_learning(self.learning, self.tasks)
