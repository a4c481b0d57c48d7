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
        "embedded", "A file of recorded episodes, or 'embedded': the scripted agent answers the embedded questions."
    )
    split: Literal["train", "dev", "test"] = setting("test", "With --episodes embedded: split of the questions.")

    guesses: Guesses = setting(
        "free",
        "Who guesses: the recorded guesser (recorded), the guessers without tokens, SearchGuesser and PageGuesser "
        "(free), or both (union). On the virtual clock a free guess takes 5 ms.",
    )
    max_inflight: int | None = options.max_inflight(8)
    agent_seconds: float = setting(
        8.0, "Median of the agent's thinking times, which are lognormal; the records do not tell them.", gt=0
    )

    page_seconds: float = setting(
        PAGE_S, "Median time of a page. Another value than the default stretches the recorded times.", gt=0
    )
    pages: Pages = setting(
        "seen",
        "With free guesses, how pages are guessed: not at all (none), as they were seen in earlier episodes (seen), or "
        "as they are in a copy of the site (copy).",
    )

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        return dataclasses.replace(super().limits, min_probability=_MIN_PROBABILITY, max_nodes=100_000)
