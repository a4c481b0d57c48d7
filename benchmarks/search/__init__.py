"""``spec-envs bench search``: how much time does speculation save an agent that searches the web?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import ScaledSettings, setting
from spec_envs.wrappers import Limits

Guesses = Literal["recorded", "free", "union"]
Pages = Literal["none", "seen", "copy"]
#: The median time of a page in recorded episodes.
PAGE_S = 0.35

#: Branches less probable than this are not followed; low enough that ``max_inflight`` is the limit that binds.
_MIN_PROBABILITY = 0.003


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSettings(ScaledSettings):
    """Run episodes of web search with speculation, and compare with the time that they take without it."""

    episodes: str = setting(
        "embedded", "Recorded episodes, or 'embedded': the scripted agent on the questions of the embedded wiki."
    )
    split: Literal["train", "dev", "test"] = setting("test", "With --episodes embedded: split of the questions.")

    guesses: Guesses = setting(
        "free",
        "Who guesses: the record, the free guessers (SearchGuesser and PageGuesser), or both in union. On the virtual "
        "clock a free guess is charged 5 ms.",
    )
    max_inflight: int | None = options.max_inflight(8)
    agent_seconds: float = setting(
        8.0, "Median of the agent's thinking time, which is lognormal; it is not recorded.", gt=0
    )

    page_seconds: float = setting(
        PAGE_S, "Median time of a page. Recorded times are kept by default, and stretched otherwise.", gt=0
    )
    pages: Pages = setting(
        "seen",
        "With free guesses, what a page is guessed to hold: nothing, what was seen in earlier episodes, or what a copy "
        "of the site holds.",
    )

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        return dataclasses.replace(super().limits, min_probability=_MIN_PROBABILITY, max_nodes=100_000)
