"""``spec-envs bench guard``: is the wrapper ever slower than the plain loop, and does it keep what can be saved?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks.options import Settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardSettings(Settings):
    """Compare the plain loop with speculation, with and without the guard, for policies of all speeds.

    Takes half an hour on an idle machine.
    """

    environment: Literal["all", "cartpole", "chess", "served"] = setting(
        "all", "CartPole, chess between two slow players, or chess with a model server that answers one call at a time."
    )
    work: Literal["both", "sleep", "cpu"] = setting("both", "What policies do: wait (sleep), compute (cpu), or both.")
    steps: int = setting(500, "How many steps each run has.", ge=10)
    longest_ms: float = setting(100.0, "Leave out policies that take longer than this.", ge=0)
    served_plies: int = setting(30, "Half moves of a game over HTTP.", ge=2)
    served_seconds: float = setting(0.3, "How long an answer over HTTP takes.", gt=0)
