"""``PageGuesser``: what a page will say, from what it said before."""

from __future__ import annotations

from typing import Any

from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.guessers import Recent
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.search.corpus.pages import Fetched, FetchQuery
from spec_envs.values import key_of

__all__ = ["PageGuesser"]


class PageGuesser:
    """Guesses that a ``fetch`` finds what it found the last time, or the page that had this title when it was found.

    For pages that come again in later episodes, when what was read has become too old to be shared. How often pages
    stay as they are is learned online; thread-safe.

    Args:
        capacity: Names of pages remembered; the one not needed for longest is forgotten first.
    """

    def __init__(self, *, capacity: int = 10_000) -> None:
        self._found: Recent[Fetched] = Recent(capacity)
        self._calibration = RankCalibration(prior=(0.9,))

    def guess(self, call: Call, k: int) -> list[Guess]:
        """The one guess there is, if the name is known."""
        known = self._known(call)
        return [] if known is None else [Guess(known, self._calibration.probability(0))][:k]

    def observe(self, call: Call, response: Any) -> None:
        """Remember what was found."""
        if not isinstance(call.query, FetchQuery) or not isinstance(response, Fetched):
            return
        known = self._known(call)
        if known is not None:
            self._calibration.observe(0 if key_of(known) == key_of(response) else None, 1)
        self._found.put(call.query.text, response)
        if response.page is not None and response.page.title != call.query.text:
            self._found.put(response.page.title, response)

    def _known(self, call: Call) -> Fetched | None:
        return self._found.get(call.query.text) if isinstance(call.query, FetchQuery) else None
