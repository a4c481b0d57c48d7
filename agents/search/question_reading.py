"""Reads the questions of the generated wiki. Only the phrases of its generator are understood."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from spec_envs.search.world.questions import ASKED, REFERRED


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """Something called by its name; ``kind`` is the kind of thing, or empty if the question does not state it."""

    name: str
    kind: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Related:
    """Something described by its relation to something else, such as "the author of that novel"."""

    relation: str
    to: Phrase


Phrase = Named | Related


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """The fact that a question wants: ``relation`` of ``about``."""

    relation: str
    about: Phrase


@dataclasses.dataclass(frozen=True, slots=True)
class Compared:
    """A comparison of two facts."""

    how: str  # "same": are they equal? "least", "most", "not": which is the least, the most, or not ``value``?
    things: tuple[Phrase, Phrase]  # the things that the answer may name
    facts: tuple[Wanted, Wanted]
    value: str = ""


#: Comparisons: the phrase, the relation of both facts, and ``Compared.how``.
_COMPARISONS = (
    (r"Who was born first, (.+) or (.+)\?", "born", "least"),
    (r"Which of the two was born earlier, (.+) or (.+)\?", "born", "least"),
    (r"Which \w+ (?:was (?:released|published) first|came out earlier), (.+) or (.+)\?", "year", "least"),
    (r"Which river is longer, (.+) or (.+)\?", "length", "most"),
    (r"Which mountain is higher, (.+) or (.+)\?", "height", "most"),
    (r"Which town had more inhabitants in 2011, (.+) or (.+)\?", "population", "most"),
    (r"Which university is older, (.+) or (.+)\?", "founded", "least"),
    (r"Which orchestra was founded first, (.+) or (.+)\?", "founded", "least"),
    (r"Are (.+) and (.+) of the same nationality\?", "nationality", "same"),
    (r"Do (.+) and (.+) have the same nationality\?", "nationality", "same"),
    (r"Did (.+) and (.+) study at the same university\?", "university", "same"),
)

#: Comparisons of two facts with a third one: the phrase, and the relation of both facts.
_NEGATIONS = (
    (r"Who was not born in (.+), (.+) or (.+)\?", "birthplace"),
    (r"Who did not study at the (.+), (.+) or (.+)\?", "university"),
    (r"Which town does not lie on the (.+), (.+) or (.+)\?", "river"),
    (r"Which novel was not written by (.+), (.+) or (.+)\?", "author"),
    (r"In which film did (.+) not play the leading role, (.+) or (.+)\?", "star"),
)

_BY_MAKER = re.compile(r"Which \w+ has the (\w+) who was born first, (.+) or (.+)\?")

_KINDS = (
    "novel film opera painting novelist composer actor actress painter architect mountaineer astronomer botanist "
    "publisher shipowner"
).split()

_KIND = re.compile(rf"the (film director|film producer|{'|'.join(_KINDS)}) ([A-Z].*)")


def read_question(text: str) -> Wanted | Compared | None:
    """Return what the question asks for; ``None`` if the question matches no pattern."""
    if match := _BY_MAKER.fullmatch(text):
        one, other = _phrase(match[2]), _phrase(match[3])
        return Compared(
            "least", (one, other), (Wanted("born", Related(match[1], one)), Wanted("born", Related(match[1], other)))
        )
    for pattern, relation, how in _COMPARISONS:
        if match := re.fullmatch(pattern, text):
            one, other = _phrase(match[1]), _phrase(match[2])
            return Compared(how, (one, other), (Wanted(relation, one), Wanted(relation, other)))
    for pattern, relation in _NEGATIONS:
        if match := re.fullmatch(pattern, text):
            one, other = _phrase(match[2]), _phrase(match[3])
            return Compared("not", (one, other), (Wanted(relation, one), Wanted(relation, other)), match[1])
    found = _relation(ASKED, text)
    return None if found is None else Wanted(found[0], _phrase(found[1]))


def _phrase(text: str) -> Phrase:
    if (found := _relation(REFERRED, text)) is not None:
        return Related(found[0], _phrase(found[1]))
    if match := _KIND.fullmatch(text):
        return Named(match[2], match[1].replace("actress", "actor"))
    return Named(text.removeprefix("the "))


def _relation(phrases: Mapping[str, tuple[str, ...]], text: str) -> tuple[str, str] | None:
    """Return the relation of the longest phrase that matches, and the text in the gap of the phrase."""
    found: list[tuple[str, str]] = []
    for relation, forms in phrases.items():
        for form in forms:
            before, _, after = form.partition("{}")
            if text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
                found.append((relation, text[len(before) : len(text) - len(after)]))
    return min(found, key=lambda each: len(each[1]), default=None)
