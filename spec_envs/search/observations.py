"""The texts that actions return, with the same wording as ReAct's Wikipedia environment (arXiv 2210.03629)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spec_envs.search.pages import Page

#: The result of ``lookup`` after the last matching sentence.
NO_MORE_RESULTS = "No more results.\n"

#: How many sentences of a page, and how many similar titles, ``search`` shows.
_EXCERPT = 5
_SIMILAR = 5


def excerpt(page: Page) -> str:
    """The result of ``search`` when it finds a page: the first five sentences."""
    return " ".join(sentence for sentence, _ in zip(sentences(page), range(_EXCERPT), strict=False))


def sentences(page: Page) -> Iterator[str]:
    """The sentences of a page as ReAct cuts them: split at ". ", with a full stop added to each.

    So the last sentence of a paragraph ends with two full stops. Paragraphs of one or two words are left out.
    """
    for paragraph in page.paragraphs:
        if len(paragraph.split(" ")) > 2:
            for line in paragraph.split("\n"):
                yield from (f"{part.strip()}." for part in line.strip().split(". ") if part.strip())


def sentences_with(page: Page, keyword: str) -> tuple[str, ...]:
    """The sentences that contain ``keyword``, in upper or lower case."""
    keyword = keyword.lower()
    return tuple(sentence for sentence in sentences(page) if keyword in sentence.lower())


def found_sentence(found: Sequence[str], position: int) -> str:
    """The result of the ``position``-th ``lookup`` (from 0) of a keyword that the sentences ``found`` contain."""
    if position >= len(found):
        return NO_MORE_RESULTS
    return f"(Result {position + 1} / {len(found)}) {found[position]}"


def not_found(text: str, similar: Sequence[str]) -> str:
    """The result of ``search`` when there is no page called ``text``."""
    return f"Could not find {text}. Similar: {list(similar[:_SIMILAR])}."
