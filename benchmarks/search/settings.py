"""How episodes of web search are run: the options of ``spec-envs bench search``, and the limits that follow."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import Limits

Guesses = Literal["recorded", "free", "union"]
Clock = Literal["virtual", "wall"]

#: Branches less probable than this are not followed; low enough that ``max_inflight`` is the limit that binds.
_MIN_PROBABILITY = 0.003


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """How the episodes are run.

    Args:
        guesses: Who guesses: the record, the free guessers (``SearchGuesser`` and ``PageGuesser``), or both in union.
        k: Guesses for one call.
        max_inflight: Speculative calls at once.
        agent_seconds: Median of the agent's thinking time.
        clock: ``"virtual"`` (one thread, the seconds pass in no time), or ``"wall"`` (threads, real waiting).
        speed: On the wall clock: seconds of the episode that pass in one second.
        seed: Of everything that draws.

    Raises:
        InvalidConfiguration: A value makes no sense; says which.
    """

    guesses: Guesses = "free"
    k: int = 3
    max_inflight: int = 8
    agent_seconds: float = 8.0
    clock: Clock = "virtual"
    speed: float = 100.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InvalidConfiguration(f"{name} must be at least {least}, not {getattr(self, name)!r}")
        for name, choices in (("guesses", Guesses), ("clock", Clock)):
            if getattr(self, name) not in get_args(choices):
                raise InvalidConfiguration(f"{name} must be one of {get_args(choices)}, not {getattr(self, name)!r}")
        for name in ("agent_seconds", "speed"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidConfiguration(f"{name} must be above 0 and finite, not {getattr(self, name)!r}")
        _ = self.limits  # checks the others

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        return Limits(max_inflight=self.max_inflight, min_probability=_MIN_PROBABILITY, max_nodes=100_000)

    @property
    def time_scale(self) -> float:
        """Seconds of the episode in one second of the clock."""
        return self.speed if self.clock == "wall" else 1.0
