"""How hard a question about a generated wiki is."""

import re

from spec_envs.difficulty import Difficulty
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus import Corpus
from spec_envs.search.questions import Question

__all__ = ["Difficulty", "difficulty_of"]

_KIND = re.compile(r" \([a-z ]+\)$")


def difficulty_of(question: Question, corpus: Corpus) -> Difficulty:
    """Return how hard a question about the embedded wiki, or a generated one, is.

    Args:
        question: The question.
        corpus: The wiki.

    Returns:
        ``hops``: the pages that have to be read. ``writes``: 0, since nothing is changed. ``distractors``: the other
        pages about something that has the name of one of these, so that the name alone does not lead to the page.
        ``negations``: how often the question asks for what is *not* so.

    Raises:
        InvalidConfiguration: The question does not tell the pages, or one of them is not in this corpus.
    """
    if not question.supporting:
        raise InvalidConfiguration(f"question {question.id!r} does not tell the pages that its answer follows from")
    distractors = 0
    for title in question.supporting:
        if corpus.find(title) is None:
            raise InvalidConfiguration(f"page {title!r} of question {question.id!r} is not in this corpus")
        named = corpus.find(_KIND.sub("", title))
        distractors += len(named.links) - 1 if named is not None and named.disambiguation else 0
    return Difficulty(
        hops=len(question.supporting),
        writes=0,
        distractors=distractors,
        negations=question.text.split().count("not"),
    )
