"""``PageGuesser``: guesses that a page is the same as before."""

from collections.abc import Hashable, Iterable
from typing import Any

from spec_envs import Call
from spec_envs.agents.result_guesser import ResultGuesser
from spec_envs.search.pages import Fetched, FetchQuery


class PageGuesser(ResultGuesser):
    """Guesses that a ``fetch`` finds the same page as before, for the same search or for the page's title.

    The arguments are those of ``ResultGuesser``; ``copy`` may be a ``Corpus``.
    """

    def _keys(self, call: Call, response: Any) -> Iterable[Hashable]:
        yield call.key
        if isinstance(response, Fetched) and response.page is not None:
            yield Call(call.handler, FetchQuery(response.page.title), call.effect).key
