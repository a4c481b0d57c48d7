"""``spec-envs bench guard``: is the wrapper ever slower than the plain loop, and does it keep what can be saved?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks.options import Settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardSettings(Settings):
    """Play plainly, guarded and unguarded, with policies of all speeds (half an hour, on an idle machine)."""

    environment: Literal["all", "cartpole", "chess", "served"] = setting(
        "all", "CartPole, chess between two slow players, or chess over HTTP with a model server that has one slot."
    )
    work: Literal["both", "sleep", "cpu"] = setting("both", "What the policies do all the time: wait, or compute.")
    steps: int = setting(500, "Steps of each run.", ge=10)
    longest_ms: float = setting(100.0, "Leave out policies that take longer than this.", ge=0)
    served_plies: int = setting(30, "Half moves of a game over HTTP.", ge=2)
    served_seconds: float = setting(0.3, "How long an answer over HTTP takes.", gt=0)
