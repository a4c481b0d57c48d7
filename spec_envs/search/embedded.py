"""The generated wiki and the questions about it, made once in a process."""

from __future__ import annotations

import functools

from spec_envs.search.corpus import Corpus
from spec_envs.search.loading import page_from_markup
from spec_envs.search.questions import Question


@functools.cache
def embedded_corpus() -> Corpus:
    """The wiki."""
    pages = [
        page_from_markup("Harbour Lights", "Harbour Lights is a 1962 novel by [[Ada Fenwick]]. It won a prize."),
        page_from_markup("Ada Fenwick", "Ada Fenwick (1921 to 1990) was a novelist. She was born in [[Tallow]]."),
        page_from_markup("Tallow", "Tallow may refer to:\n* [[Tallow (town)]], a port\n* [[Harbour Lights]], a novel"),
        page_from_markup("Tallow (town)", "Tallow is a port on the coast of Merrow. It has 12,000 inhabitants."),
    ]
    return Corpus(pages, {"Fenwick": "Ada Fenwick"})


@functools.cache
def embedded_questions() -> tuple[Question, ...]:
    """The questions."""
    text = "How many inhabitants has the town where the author of Harbour Lights was born?"
    chain = ("Harbour Lights", "Ada Fenwick", "Tallow (town)")
    return tuple(Question(f"{split}-0", text, "12,000", "bridge", chain) for split in ("train", "dev", "test"))
