"""Policies for ``SpecSearch-v0``: a reader who solves the generated questions, one who errs, and known solutions.

A policy is ``policy(observation) -> action``, a function of the observation alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from spec_envs.agents._search_notes import KEYWORDS, Fact, Notes, find_fact
from spec_envs.agents._search_question import Asked, Compared, Named, Phrase, read_question
from spec_envs.calls import Effect
from spec_envs.draws import Draws
from spec_envs.errors import InvalidConfiguration

if TYPE_CHECKING:
    from spec_envs.search.questions import Question

__all__ = ["SearchPolicy", "SolutionReplay"]

_UNKNOWN = "unknown"
#: What is known of the kind of somebody from the relation alone.
_KINDS = {
    "author": "novelist",
    "director": "film director",
    "star": "actor",
    "score": "composer",
    "basis": "novel",
    "composer": "composer",
    "painter": "painter",
    "architect": "architect",
    "climber": "mountaineer",
    "publisher": "publishing house",
    "studio": "film studio",
    "founder": "publisher",
}


class SearchPolicy:
    """A reader who follows a question's chain of facts from page to page: searches, looks up, and finishes.

    Made for the phrases of the generated questions and pages; what it does not understand it answers with "unknown".

    Args:
        error_rate: How often an action goes wrong, from 0 to 1: a search with words too many, a lookup of something
            else, a wrong answer.
        seed: For its errors: the same observations give the same ones.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, error_rate: float = 0.0, seed: int = 0) -> None:
        if not 0.0 <= error_rate <= 1.0:
            raise InvalidConfiguration(f"error_rate must lie in [0, 1], not {error_rate!r}")
        self._error_rate = error_rate
        self._seed = seed

    def __call__(self, observation: Mapping[str, Any]) -> str:
        """The next action."""
        question, transcript = observation["question"], json.loads(observation["transcript"])
        try:
            _Reader(Notes(transcript)).answer(question)
        except _Next as found:
            draws = Draws("reader", self._seed, question, len(transcript))
            if draws.chance(self._error_rate):
                return _slip(draws, found.name, found.argument, observation["observation"])
            return f"{found.name}[{found.argument}]"


class SolutionReplay:
    """Searches for a question's supporting titles one after the other, and finishes with its answer."""

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, question: Question) -> None:
        self._question = question

    def __call__(self, observation: Mapping[str, Any]) -> str:
        """The first title that was not searched for yet, or the answer."""
        made = len(json.loads(observation["transcript"]))
        if made < len(self._question.supporting):
            return f"search[{self._question.supporting[made]}]"
        return f"finish[{self._question.answer}]"


class _Next(Exception):
    """The reader cannot go on without this action."""

    def __init__(self, name: str, argument: str) -> None:
        super().__init__(name, argument)
        self.name = name
        self.argument = argument


class _Reader:
    """Answers from notes; each method goes as far as they reach, and raises ``_Next`` with what is needed to go on."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def answer(self, text: str) -> NoReturn:
        question = read_question(text)
        if question is None:
            raise _Next("finish", _UNKNOWN)
        raise _Next("finish", self.fact(question).value if isinstance(question, Asked) else self.compared(question))

    def fact(self, asked: Asked) -> Fact:
        """What is asked about something."""
        thing = self.thing(asked.about)
        return self.read(thing, asked.relation)

    def compared(self, question: Compared) -> str:
        one, other = (self.fact(asked).value for asked in question.facts)
        if question.how == "same":
            return "yes" if one == other else "no"
        less = _number(one) <= _number(other)
        return self.thing(question.things[0 if less is (question.how == "least") else 1]).name

    def thing(self, phrase: Phrase) -> Named:
        """What a phrase speaks of."""
        if isinstance(phrase, Named):
            return phrase
        fact = self.fact(Asked(phrase.relation, phrase.to))
        return Named(fact.value, fact.kind or _KINDS.get(phrase.relation, ""))

    def read(self, thing: Named, relation: str) -> Fact:
        """The fact that the page about ``thing`` tells."""
        name = self.title(thing)
        notes = self._notes.by_name[name]
        if (fact := find_fact(relation, notes.texts)) is not None:
            return fact
        for keyword in KEYWORDS.get(relation, ()):
            if keyword not in notes.exhausted:
                raise _Next("lookup", keyword) if self._notes.current == name else _Next("search", name)
        raise _Next("finish", _UNKNOWN)

    def title(self, thing: Named) -> str:
        """The name under which the page about ``thing`` has been found."""
        name = thing.name
        for _ in range(3):  # from a name of several things, and from there to the right one
            notes = self._notes.by_name.get(name)
            if notes is None:
                raise _Next("search", name)
            if notes.texts:
                return name
            alike = [title for title in notes.similar or () if title.endswith(f"({thing.kind})")]
            fresh = [title for title in notes.similar or () if title not in self._notes.by_name]
            name = next(iter((*alike, *fresh)), "")
            if not name:
                break
        raise _Next("finish", _UNKNOWN)


def _number(value: str) -> tuple[int, ...]:
    """A value to compare by: the year of a date, or the number that it begins with."""
    if match := re.fullmatch(r"\d+ [A-Z]\w+ (\d{4})", value):
        return (int(match[1]),)
    return (int(re.sub(r"\D", "", value) or 0),)


def _slip(draws: Draws, name: str, argument: str, observation: str) -> str:
    """Another action in place of the right one."""
    if name == "search":
        return f"search[{argument} {draws.pick(('biography', 'history', 'details'))}]"
    if name == "lookup":
        return f"lookup[{draws.pick(('early life', 'origin', 'famous'))}]"
    wrong = {"yes": "no", "no": "yes"}.get(argument)
    words = [word for word in re.findall(r"[A-Z]\w+", observation) if word not in argument]
    return f"finish[{wrong or draws.pick(words or [_UNKNOWN])}]"
