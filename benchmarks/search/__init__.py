"""``spec-envs bench search``: how much time does speculation save an agent that searches the web?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import ClockSettings, setting
from spec_envs.wrappers import Limits

Guesses = Literal["recorded", "free", "union"]

#: Branches less probable than this are not followed; low enough that ``max_inflight`` is the limit that binds.
_MIN_PROBABILITY = 0.003


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSettings(ClockSettings):
    """How episodes of web search are run."""

    guesses: Guesses = setting(
        "free",
        "Who guesses: the record, the free guessers (SearchGuesser and PageGuesser), or both in union. On the virtual "
        "clock a free guess is charged 5 ms.",
    )
    k: int = options.k()
    max_inflight: int = options.max_inflight(8)
    agent_seconds: float = setting(
        8.0, "Median of the agent's thinking time, which is lognormal; it is not recorded.", gt=0
    )
    seed: int = options.seed()

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        return Limits(max_inflight=self.max_inflight, min_probability=_MIN_PROBABILITY, max_nodes=100_000)
