"""``Pace``: how fast a model server writes; also the options of ``spec-envs serve-model``, so it imports little."""

import dataclasses
import math
from typing import Any

from spec_envs.benchmarks.options import Settings, setting
from spec_envs.wrappers.latency import lognormal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace(Settings):
    """How fast a model writes. Times are drawn by the request: equal requests take equally long.

    Args:
        first_token_s: Median time to the first token, in seconds.
        tokens_per_s: Median rate of the tokens after it; ``math.inf``: all at once.
        spread: Sigma of the lognormal distributions of both; 0: no spread.
        reasoning_tokens: Tokens of reasoning that the model writes before each answer (``reasoning_content``).
        seed: Seed of the draws.

    Raises:
        InvalidConfiguration: A value is out of bounds.
    """

    first_token_s: float = setting(0.0, "Median time to the first token, in seconds.", ge=0)
    tokens_per_s: float = setting(
        math.inf, "Median rate of the tokens after the first one.", gt=0, le=math.inf, default_text="no limit"
    )
    spread: float = setting(
        0.0, "Sigma of the lognormal distributions of time and rate; equal requests take equally long.", ge=0
    )
    reasoning_tokens: int = setting(0, "Tokens of reasoning written before each answer.", ge=0)
    seed: int = setting(0, "Seed of the times.", ge=0)

    def times(self, request: Any) -> tuple[float, float]:
        """Seconds until the first token of the answer to ``request``, and seconds from each token to the next."""
        first = lognormal(self.first_token_s, self.spread, self.seed)(request)
        return first, lognormal(1 / self.tokens_per_s, self.spread, self.seed + 1)(request)
