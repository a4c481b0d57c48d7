"""Pages to look at: traces and reports as one HTML file that opens from disk, without a network."""

from spec_envs.pages.page import page
from spec_envs.pages.timeline import Timeline, timelines

__all__ = ["Timeline", "page", "timelines"]
