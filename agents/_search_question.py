"""What a question asks for, read from its words: a chain of relations from a name on, or a comparison of two."""

from __future__ import annotations

import dataclasses
import re

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


#: Phrases by relation; the gap is what they relate to. Longer ones first where one begins like another.
_PHRASES = {
    "score": ("the person who wrote the music for {}", "the composer of the music for {}"),
    "author": ("the author of {}", "the writer of {}", "the person who wrote {}"),
    "director": ("the director of {}", "the person who directed {}"),
    "star": ("the star of {}", "the person who played the leading role in {}"),
    "basis": ("the novel on which {} is based", "the novel from which {} was adapted", "the literary source of {}"),
    "composer": ("the composer of {}", "the person who composed {}"),
    "painter": ("the painter of {}", "the artist who painted {}"),
    "architect": ("the architect of {}", "the person who designed {}"),
    "publisher": ("the publisher of {}", "the publishing house that published {}"),
    "studio": ("the film studio that produced {}", "the studio behind {}"),
    "founder": ("the founder of {}", "the person who founded {}"),
    "birthplace": ("the birthplace of {}", "the town where {} was born", "the town in which {} was born"),
    "university": ("the university that {} attended", "the university where {} studied", "the alma mater of {}"),
    "spouse": ("the spouse of {}", "the person whom {} married"),
    "town": ("the town in which {} is located", "the town where {} is to be found", "the town that is home to {}"),
    "museum": ("the museum that owns {}", "the museum in which {} hangs"),
    "premiere": ("the town where {} was first performed", "the town that saw the first performance of {}"),
    "setting": (
        "the town in which {} is set",
        "the town where the story of {} takes place",
        "the town that is the setting of {}",
    ),
    "river": ("the river on which {} lies", "the river that flows through {}"),
    "country": ("the country in which {} lies", "the country that {} belongs to"),
    "source": (
        "the mountain on which {} rises",
        "the mountain where {} has its source",
        "the mountain that is the source of {}",
    ),
    "climber": ("the first person to climb {}", "the mountaineer who first climbed {}"),
    "namesake": ("the person after whom {} is named", "the namesake of {}"),
    "prize": ("the prize that {} received", "the prize that was awarded to {}"),
}
_QUESTIONS = {
    "birthplace": ("In which town was {} born?", "Where was {} born?", "What is the birthplace of {}?"),
    "born": ("When was {} born?", "What is the date of birth of {}?"),
    "university": (
        "Which university did {} attend?",
        "At which university did {} study?",
        "Which university was attended by {}?",
    ),
    "spouse": ("Whom did {} marry?", "Who was the spouse of {}?"),
    "prize": ("Which prize did {} receive?", "Which prize was awarded to {}?"),
    "nationality": ("What was the nationality of {}?",),
    "climber": ("Who was the first person to climb {}?", "Who made the first ascent of {}?"),
    "author": ("Who wrote {}?", "Who is the author of {}?"),
    "publisher": ("Which publishing house published {}?", "Who published {}?"),
    "setting": ("In which town is {} set?", "Which town is the setting of {}?"),
    "year": ("In which year was {} published?", "What is the year of publication of {}?"),
    "founder": ("Who founded {}?", "Who was the founder of {}?"),
    "first": ("In which year was {} first awarded?",),
    "founded": ("In which year was {} founded?", "When was {} founded?", "What is the founding year of {}?"),
    "town": ("In which town is {} based?", "Which town is the seat of {}?"),
    "population": (
        "How many inhabitants did {} have in 2011?",
        "What was the population of {} in 2011?",
        "What was the population in 2011 of {}?",
    ),
    "river": ("On which river does {} lie?", "Which river flows through {}?"),
    "country": ("In which country does {} lie?", "Which country includes {}?"),
    "mouth": (
        "Into which sea does {} flow?",
        "Into which body of water does {} empty?",
        "Which sea receives the waters of {}?",
    ),
    "length": ("How long is {}?", "What is the length of {}?"),
    "height": ("How high is {}?", "What is the height of {}?"),
    "capital": ("What is the capital of {}?",),
    "currency": ("What is the currency of {}?",),
    "language": ("What is the official language of {}?",),
}
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
    for relation, forms in _QUESTIONS.items():
        if (gap := _gap(forms, text)) is not None:
            return Asked(relation, _phrase(gap))
    return None


def _phrase(text: str) -> Phrase:
    for relation, forms in _PHRASES.items():
        if (gap := _gap(forms, text)) is not None:
            return Related(relation, _phrase(gap))
    if match := _KIND.fullmatch(text):
        return Named(match[2], match[1].replace("actress", "actor"))
    return Named(text.removeprefix("the "))


def _gap(forms: tuple[str, ...], text: str) -> str | None:
    """What stands in the gap of the first form that fits."""
    for form in forms:
        before, _, after = form.partition("{}")
        if text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
            return text[len(before) : len(text) - len(after)]
    return None
