"""``spec-envs bench search-web``: what does speculation save where real pages are loaded, and is anything lost?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import BenchSettings, setting
from spec_envs.wrappers import HandlerLimit, Limits


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchWebSettings(BenchSettings):
    """Answer questions from a local wiki with slow pages, with and without speculation, on the wall clock."""

    backend: Literal["http", "browser"] = setting(
        "browser", "How pages are loaded; browser needs Chromium and its driver."
    )
    episodes: int = setting(8, "How many questions are answered on the wall clock; with 0, only certify runs.", ge=0)
    agent_seconds: float = setting(1.0, "How long the agent thinks about an action.", ge=0)
    page_seconds: float = setting(0.3, "How long the site takes for a page.", ge=0)
    max_inflight: int | None = options.max_inflight(8)
    browsers: int = setting(3, "How many browsers may run at once.", ge=1)
    seeds: int = setting(5, "How many episodes certify compares.", ge=1)

    @property
    def limits(self) -> Limits:
        """The limits of the speculation: no more pages at once than there are browsers to load them."""
        given = super().limits
        pages = self.browsers if self.backend == "browser" else given.max_inflight
        return dataclasses.replace(given, per_handler={"fetch": HandlerLimit(max_inflight=pages)})
