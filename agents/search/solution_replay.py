"""``SolutionReplay``: the solution of a question, as a policy for ``SpecSearch-v0``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from spec_envs import Effect
from spec_envs.search.questions import Question


class SolutionReplay:
    """Searches for the supporting titles of a question one after the other, and finishes with the answer.

    Args:
        question: The question, with its answer and supporting titles.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, question: Question) -> None:
        self._question = question

    def __call__(self, observation: Mapping[str, Any]) -> str:
        """Return the search for the next supporting title, or after the last title the answer."""
        made = len(json.loads(observation["transcript"]))
        if made < len(self._question.supporting):
            return f"search[{self._question.supporting[made]}]"
        return f"finish[{self._question.answer}]"
