"""``spec-envs bench search-web``: what does speculation save where real pages are loaded, and is anything lost?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import Settings, setting
from spec_envs.wrappers import HandlerLimit, Limits


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchWebSettings(Settings):
    """How questions are answered from a local wiki."""

    backend: Literal["http", "browser"] = setting(
        "browser", "How pages are loaded; browser needs Chromium and its driver."
    )
    episodes: int = setting(8, "Questions to answer on the wall clock; with 0, only certify runs.", ge=0)
    agent_seconds: float = setting(1.0, "How long the agent thinks about an action.", ge=0)
    page_seconds: float = setting(0.3, "How long the site takes for a page.", ge=0)
    k: int = options.k()
    max_inflight: int = options.max_inflight(8)
    browsers: int = setting(3, "Browsers at once.", ge=1)
    seeds: int = setting(5, "Episodes that certify compares.", ge=1)

    @property
    def limits(self) -> Limits:
        """The limits of the speculation: no more pages at once than there are browsers to load them."""
        pages = self.browsers if self.backend == "browser" else self.max_inflight
        return Limits(max_inflight=self.max_inflight, per_handler={"fetch": HandlerLimit(max_inflight=pages)})
