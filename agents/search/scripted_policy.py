"""Policies that need no model: a reader that solves generated questions, and the replay of a known solution."""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from spec_envs import Effect
from spec_envs.agents.search.generated_text import KEYWORDS, Fact, Notes, find_fact
from spec_envs.agents.search.question_reading import Compared, Named, Phrase, Wanted, read_question
from spec_envs.checks import number
from spec_envs.draws import Draws
from spec_envs.search.questions import Question

_UNKNOWN = "unknown"
#: The kind of thing that a relation leads to.
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


class ScriptedSearchPolicy:
    """A scripted reader that follows a question's chain of facts from page to page: searches, looks up, and finishes.

    The script understands only generated text: the phrases of the generated questions and pages, by regular
    expressions. It answers any other question with "unknown". A function of the observation alone.

    Args:
        error_rate: The share of actions that go wrong, from 0 to 1. An error is a search with a superfluous word, a
            lookup of something else, or a wrong answer.
        seed: The seed of the errors. Equal observations get equal errors.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, error_rate: float = 0.0, seed: int = 0) -> None:
        self._error_rate = number("error_rate", error_rate, least=0.0, most=1.0)
        self._seed = seed

    def __call__(self, observation: Mapping[str, Any]) -> str:
        """Return the next action as text."""
        question, transcript = observation["question"], json.loads(observation["transcript"])
        try:
            _Reader(Notes(transcript)).answer(question)
        except _Next as found:
            draws = Draws("reader", self._seed, question, len(transcript))
            if draws.chance(self._error_rate):
                return _slip(draws, found.name, found.argument, observation["observation"])
            return f"{found.name}[{found.argument}]"


class _Next(Exception):
    """Raised with the action that the reader has to take next."""

    def __init__(self, name: str, argument: str) -> None:
        super().__init__(name, argument)
        self.name = name
        self.argument = argument


class _Reader:
    """Answers from notes. Each method raises ``_Next`` where the notes do not hold what the method needs."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def answer(self, text: str) -> NoReturn:
        question = read_question(text)
        if question is None:
            raise _Next("finish", _UNKNOWN)
        raise _Next("finish", self.fact(question).value if isinstance(question, Wanted) else self.compared(question))

    def fact(self, wanted: Wanted) -> Fact:
        """Return the wanted fact."""
        thing = self.thing(wanted.about)
        return self.read(thing, wanted.relation)

    def compared(self, question: Compared) -> str:
        one, other = (self.fact(wanted).value for wanted in question.facts)
        if question.how == "same":
            return "yes" if one == other else "no"
        if question.how == "not":
            return self.thing(question.things[0 if one != question.value else 1]).name
        less = _number(one) <= _number(other)
        return self.thing(question.things[0 if less is (question.how == "least") else 1]).name

    def thing(self, phrase: Phrase) -> Named:
        """Return the thing that a phrase refers to."""
        if isinstance(phrase, Named):
            return phrase
        fact = self.fact(Wanted(phrase.relation, phrase.to))
        return Named(fact.value, fact.kind or _KINDS.get(phrase.relation, ""))

    def read(self, thing: Named, relation: str) -> Fact:
        """Return the fact of ``relation`` that the page about ``thing`` states."""
        name = self.title(thing)
        notes = self._notes.by_name[name]
        if (fact := find_fact(relation, notes.texts)) is not None:
            return fact
        for keyword in KEYWORDS.get(relation, ()):
            if keyword not in notes.exhausted:
                raise _Next("lookup", keyword) if self._notes.current == name else _Next("search", name)
        raise _Next("finish", _UNKNOWN)

    def title(self, thing: Named) -> str:
        """Return the name by which the page about ``thing`` was found."""
        name = thing.name
        for _ in range(3):  # a search may return similar titles, one of which leads to the page
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
    """Return a value for comparisons: the year of a date, or the number made of all digits."""
    if match := re.fullmatch(r"\d+ [A-Z]\w+ (\d{4})", value):
        return (int(match[1]),)
    return (int(re.sub(r"\D", "", value) or 0),)


def _slip(draws: Draws, name: str, argument: str, observation: str) -> str:
    """Return a wrong action in place of the right one."""
    if name == "search":
        return f"search[{argument} {draws.pick(('biography', 'history', 'details'))}]"
    if name == "lookup":
        return f"lookup[{draws.pick(('early life', 'origin', 'famous'))}]"
    wrong = {"yes": "no", "no": "yes"}.get(argument)
    words = [word for word in re.findall(r"[A-Z]\w+", observation) if word not in argument]
    return f"finish[{wrong or draws.pick(words or [_UNKNOWN])}]"


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
