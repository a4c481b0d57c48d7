"""``spec-envs bench scale``: how many episodes can speculate at once, and what breaks first?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import Settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaleSettings(Settings):
    """Play 1, 10, 100, … episodes at once on each runtime, each number in a process of its own.

    On asyncio the loop's clock counts processor time and skips all waiting, so a busy machine does not change the
    results. "closing": close wrappers with 50 sleeping calls each. "crowd": play the greatest number of episodes on one
    event loop that really waits, with four guesses for each call; check that limits are kept and that nothing is left
    over. "provider": simulate agents that share the rate limit of one provider, in virtual time.
    """

    part: Literal["all", "simulation", "asyncio", "threads", "processes", "closing", "crowd", "provider"] = setting(
        "all", "What to measure."
    )
    most: int = setting(1000, "The greatest number of episodes at once.", ge=1)
    steps: int = setting(5, "How many steps an episode has: each is a decision and a call of the environment.", ge=1)
    seconds: float = setting(
        2.0, "Mean time of a call, in seconds; single calls take from half of it to 1.5 times it.", gt=0
    )
    max_inflight: int = options.max_inflight(8)
    agents: int = setting(100_000, "With --part provider: how many agents share the provider.", ge=10)
