"""A question with its answer, as an immutable value."""

from __future__ import annotations

import dataclasses


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
