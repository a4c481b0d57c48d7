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
        ``hops``: the pages that have to be read. ``writes``: 0, since nothing is changed. ``distractors``: other pages
        about things with the same name as a page that has to be read, so that the name alone does not lead to this
        page. ``negations``: how often the question says "not".

    Raises:
        InvalidConfiguration: The question does not name its pages, or one of these pages is not in ``corpus``.
    """
    if not question.supporting:
        raise InvalidConfiguration(
            f"question {question.id!r} does not name the pages that its answer follows from (Question.supporting)"
        )
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
