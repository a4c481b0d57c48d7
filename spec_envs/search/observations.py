"""What an agent gets to read of a page, word by word as in ReAct's Wikipedia environment (arXiv 2210.03629)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spec_envs.search.corpus.pages import Page

__all__ = ["NO_MORE_RESULTS", "excerpt", "found_sentence", "not_found", "sentences", "sentences_with"]

#: What ``lookup`` says past the last sentence.
NO_MORE_RESULTS = "No more results.\n"

_EXCERPT = 5
_SIMILAR = 5


def excerpt(page: Page) -> str:
    """What ``search`` shows of a page: its first five sentences."""
    return " ".join(sentence for sentence, _ in zip(sentences(page), range(_EXCERPT), strict=False))


def sentences(page: Page) -> Iterator[str]:
    """The sentences of a page, in ReAct's way: split at a full stop and a space, each with a full stop added.

    So the last sentence of a paragraph has two. Paragraphs of one or two words are left out.
    """
    for paragraph in page.paragraphs:
        if len(paragraph.split(" ")) > 2:
            for line in paragraph.split("\n"):
                yield from (f"{part.strip()}." for part in line.strip().split(". ") if part.strip())


def sentences_with(page: Page, keyword: str) -> tuple[str, ...]:
    """The sentences that hold ``keyword``, in any case."""
    keyword = keyword.lower()
    return tuple(sentence for sentence in sentences(page) if keyword in sentence.lower())


def found_sentence(found: Sequence[str], position: int) -> str:
    """What ``lookup`` says for the ``position``-th time (from 0) of the sentences it found."""
    if position >= len(found):
        return NO_MORE_RESULTS
    return f"(Result {position + 1} / {len(found)}) {found[position]}"


def not_found(text: str, similar: Sequence[str]) -> str:
    """What ``search`` says where there is no page of that name."""
    return f"Could not find {text}. Similar: {list(similar[:_SIMILAR])}."
