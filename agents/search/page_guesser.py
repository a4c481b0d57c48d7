"""``PageGuesser``: the content of a page, from its earlier content."""

from collections.abc import Callable
from typing import Any

from spec_envs import Call, Guess
from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.recent import Recent
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.values import key_of


class PageGuesser:
    """Guesses that a ``fetch`` finds the same page as the last time, by the name searched for or by the page's title.

    This helps with pages that come again in later episodes, after earlier reads have become too old to be shared. How
    often pages stay the same is learned online. Thread-safe.

    Args:
        capacity: The number of names remembered. The name not used for longest is forgotten first.
        copy: A quick copy of the site, which may be out of date, such as a ``Corpus`` or an older cache. It is guessed
            from where a name has not been searched for yet.
    """

    def __init__(self, *, capacity: int = 10_000, copy: Callable[[FetchQuery], Fetched] | None = None) -> None:
        self._copy = copy
        self._found: Recent[Fetched] = Recent(capacity)
        self._calibration = RankCalibration(prior=(0.9,))

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return one guess if the name is known, and otherwise none."""
        known = self._known(call)
        return [] if known is None else [Guess(known, self._calibration.probability(0))][:k]

    def observe(self, call: Call, response: Any) -> None:
        """Remember the result, and learn whether the last result came again."""
        if not isinstance(call.query, FetchQuery) or not isinstance(response, Fetched):
            return
        known = self._known(call)
        if known is not None:
            self._calibration.observe(0 if key_of(known) == key_of(response) else None, 1)
        self._found.put(call.query.text, response)
        if response.page is not None and response.page.title != call.query.text:
            self._found.put(response.page.title, response)

    def _known(self, call: Call) -> Fetched | None:
        if not isinstance(call.query, FetchQuery):
            return None
        seen = self._found.get(call.query.text)
        return self._copy(call.query) if seen is None and self._copy is not None else seen
