"""What a question asks for, read from its words: a chain of relations from a name on, or a comparison of two."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from spec_envs.search.world.questions.phrases import ASKED, REFERRED

__all__ = ["Asked", "Compared", "Named", "Phrase", "Related", "read_question"]


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """Something called by its name; ``kind`` says what it is, where the question says so."""

    name: str
    kind: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Related:
    """Something by its relation to something else: the author of that novel."""

    relation: str
    to: Phrase


Phrase = Named | Related


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A fact about something."""

    relation: str
    about: Phrase


@dataclasses.dataclass(frozen=True, slots=True)
class Compared:
    """Two facts: whether they are the same ("same"), or whose is less ("least") or more ("most").

    Attributes:
        things: What is compared, as the answer names it.
        facts: The fact about each.
    """

    how: str
    things: tuple[Phrase, Phrase]
    facts: tuple[Asked, Asked]


#: Which of two: how it is said, the fact about each, and whether less of it is asked for.
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
_BY_MAKER = re.compile(r"Which \w+ has the (\w+) who was born first, (.+) or (.+)\?")
_KINDS = (
    "novel film opera painting novelist composer actor actress painter architect mountaineer astronomer botanist "
    "publisher shipowner"
).split()
_KIND = re.compile(rf"the (film director|film producer|{'|'.join(_KINDS)}) ([A-Z].*)")


def read_question(text: str) -> Asked | Compared | None:
    """What is asked for; ``None`` where the words are not understood."""
    if match := _BY_MAKER.fullmatch(text):
        one, other = _phrase(match[2]), _phrase(match[3])
        return Compared(
            "least", (one, other), (Asked("born", Related(match[1], one)), Asked("born", Related(match[1], other)))
        )
    for pattern, relation, how in _COMPARISONS:
        if match := re.fullmatch(pattern, text):
            one, other = _phrase(match[1]), _phrase(match[2])
            return Compared(how, (one, other), (Asked(relation, one), Asked(relation, other)))
    found = _relation(ASKED, text)
    return None if found is None else Asked(found[0], _phrase(found[1]))


def _phrase(text: str) -> Phrase:
    if (found := _relation(REFERRED, text)) is not None:
        return Related(found[0], _phrase(found[1]))
    if match := _KIND.fullmatch(text):
        return Named(match[2], match[1].replace("actress", "actor"))
    return Named(text.removeprefix("the "))


def _relation(phrases: Mapping[str, tuple[str, ...]], text: str) -> tuple[str, str] | None:
    """The relation of the phrase that fits, and what stands in its gap; the longest one, where several fit."""
    found: list[tuple[str, str]] = []
    for relation, forms in phrases.items():
        for form in forms:
            before, _, after = form.partition("{}")
            if text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
                found.append((relation, text[len(before) : len(text) - len(after)]))
    return min(found, key=lambda each: len(each[1]), default=None)
