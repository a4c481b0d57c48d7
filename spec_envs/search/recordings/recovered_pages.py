"""Pages that are recovered from recorded observations."""

from __future__ import annotations

import ast
import dataclasses
import re

from spec_envs.search.observations import excerpt, sentences_with
from spec_envs.search.pages import Fetched, Page

_MISSING = re.compile(r"\s*Could not find (\[?).*?\. Similar: (\[.*\])\.?\s*", re.DOTALL)
_RESULT = re.compile(r"\(Result (\d+) / (\d+)\) (.*)", re.DOTALL)


def fetched_of(text: str, observation: str) -> Fetched:
    """A result of a search for ``text`` of which ``SearchEnv`` shows ``observation``."""
    missing = _MISSING.fullmatch(observation)
    if missing is None:
        return Fetched(_page(text, observation))
    similar = _list(missing[2])
    if missing[1]:  # "Could not find [text]": a disambiguation page
        return Fetched(Page(text, ("",), similar, disambiguation=True))
    return Fetched(None, similar)


def _page(text: str, observation: str) -> Page:
    """A page whose first sentences are ``observation``, to which ``excerpt`` adds the last full stop again."""
    return Page(text, (observation.removesuffix("."),))


def with_lookup_result(page: Page, keyword: str, observation: str) -> Page:
    """The page with the sentence that a lookup returned, repeated as often as the lookup counted matches."""
    result = _RESULT.fullmatch(observation)
    if result is None:
        return page
    longer = page
    while len(sentences_with(longer, keyword)) < int(result[2]):
        longer = dataclasses.replace(longer, paragraphs=(*longer.paragraphs, result[3].strip().removesuffix(".")))
        if excerpt(longer) != excerpt(page) or len(sentences_with(longer, keyword)) == len(
            sentences_with(page, keyword)
        ):
            return page  # the sentence would be shown by a search, or would not be found
    return longer


def _list(text: str) -> tuple[str, ...]:
    try:
        titles = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(map(str, titles)) if isinstance(titles, list) else ()
