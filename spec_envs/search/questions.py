"""A question with its answer, and the scores of an answer: exact match and F1 as in HotpotQA (arXiv 1809.09600)."""

import dataclasses
import re
import string
from collections import Counter


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A question.

    Attributes:
        id: A name for the question. The id of a generated question begins with its split, as in "test-12".
        text: The question itself.
        answer: The right answer.
        type: "bridge" (one page leads to the next) or "comparison" (two things are compared), as in HotpotQA.
        supporting: Titles of the pages that the answer follows from, in the order in which they lead to each other;
            empty if they are not known.
    """

    id: str
    text: str
    answer: str
    type: str
    supporting: tuple[str, ...] = ()


_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
#: Answers that get no partial credit.
_WHOLE = frozenset({"yes", "no", "noanswer"})


def normalize_answer(answer: str) -> str:
    """``answer`` in lower case, without punctuation and English articles, with single spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> bool:
    """Whether both answers are the same after normalisation."""
    return normalize_answer(answer) == normalize_answer(gold)


def f1(answer: str, gold: str) -> float:
    """F1 over the words of both answers, from 0 to 1; "yes", "no" and "noanswer" get no partial credit."""
    answer, gold = normalize_answer(answer), normalize_answer(gold)
    if answer != gold and (answer in _WHOLE or gold in _WHOLE):
        return 0.0
    words, wanted = answer.split(), gold.split()
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted)) if common else 0.0
