"""Reads the pages of the generated wiki: finds facts by the phrases that the generator writes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from spec_envs.agents.search.situation import similar_titles

_PERSON = r"[A-Z]\w* (?:[A-Z] )?[A-Z]\w+"
_PLACE = r"[A-Z]\w+"
_RIVER = r"River [A-Z]\w+|[A-Z]\w+ River"
_UNIVERSITY = r"University of [A-Z]\w+|[A-Z]\w+ University"
_DATE = r"\d{1,2} [A-Z]\w+ \d{4}"
_OCCUPATION = r"[a-z]+(?: [a-z]+)?"

#: The phrases that state a fact on generated pages, by relation. Group ``v``: the value, ``k``: the kind of person.
_PATTERNS = {
    "author": (rf" by (?:the \w+ writer )?(?P<v>{_PERSON})",),
    "director": (rf"[Dd]irected by (?P<v>{_PERSON})",),
    "star": (rf"(?P<v>{_PERSON}) plays the leading role", rf"role is played by (?P<v>{_PERSON})"),
    "score": (rf"music was written by (?P<v>{_PERSON})", rf"(?P<v>{_PERSON}) composed the score"),
    "basis": (r"(?:based on|adapted from) the novel (?P<v>[^.]+)\.",),
    "composer": (rf"acts (?:with music )?by (?P<v>{_PERSON})",),
    "painter": (rf"(?:oil painting|on canvas) by (?P<v>{_PERSON})",),
    "architect": (rf"(?:[Dd]esigned|design is) by (?P<v>{_PERSON})",),
    "publisher": (r"(?:was published by|brought out by) (?:the )?(?P<v>[A-Z][^.]+)\.",),
    "studio": (r"(?:produced by|studios of) (?:the )?(?P<v>[A-Z][^.]+)\.",),
    "founder": (rf"founded in \d{{4}} by (?P<v>{_PERSON})", rf"was the work of (?P<v>{_PERSON})"),
    "founded": (r"(?:founded|established|foundation) in (?P<v>\d{4})",),
    "birthplace": (rf"(?:[Bb]orn in|[Nn]ative of) (?P<v>{_PLACE})",),
    "born": (rf"(?:\(|\(born |born on )(?P<v>{_DATE})",),
    "university": (rf"(?:studied|read) [a-z ]+ at (?:the )?(?P<v>{_UNIVERSITY})",),
    "spouse": (
        rf"married the (?P<k>{_OCCUPATION}) (?P<v>{_PERSON})",
        rf"and the (?P<k>{_OCCUPATION}) (?P<v>{_PERSON}) were married",
    ),
    "prize": (r"(?:received|awarded|won) the (?P<v>[A-Z]\w+ Prize)",),
    "nationality": (r"(?:was|is) an? (?P<v>[A-Z]\w+) [a-z]",),
    "town": (rf"is an? [a-z ]+ in (?:the \w+ town of )?(?P<v>{_PLACE})",),
    "museum": (r"(?:hangs in|belongs to) (?:the )?(?P<v>[A-Z][^.]+)\.",),
    "premiere": (rf"(?:first performed|performance took place) in (?P<v>{_PLACE})",),
    "setting": (rf"is set in (?P<v>{_PLACE})",),
    "year": (
        r"[Pp]ublished in (?P<v>\d{4})",
        r"released in (?P<v>\d{4})",
        r"is an? (?P<v>\d{4}) ",
        r"film of (?P<v>\d{4})",
    ),
    "population": (r"(?P<v>\d[\d,]*) inhabitants", r"population (?:was|of) (?P<v>\d[\d,]*)"),
    "river": (rf"(?:banks of|lies on) (?:the )?(?P<v>{_RIVER})",),
    "country": (rf"is a town in the \S+ of (?P<v>{_PLACE})",),
    "mouth": (r"(?:empties|flows) into (?:the )?(?P<v>\w+ Sea|Sea of \w+|Gulf of \w+)",),
    "length": (r"(?P<v>\d+ kilometres)",),
    "height": (r"(?P<v>\d[\d,]* metres)",),
    "source": (r"(?:rises on|source on) (?P<v>Mount \w+)",),
    "climber": (rf"(?:climbed|ascent was made) in \d{{4}} by (?P<v>{_PERSON})",),
    "capital": (rf"capital (?:and largest town )?is (?P<v>{_PLACE})",),
    "currency": (r"currency is the (?P<v>\w+)",),
    "language": (r"official language is (?P<v>\w+)",),
    "namesake": (rf"named after the (?P<k>{_OCCUPATION}) (?P<v>{_PERSON})",),
    "first": (r"[Ff]irst awarded in (?P<v>\d{4})",),
}

#: The keywords to look up if the beginning of a page does not state a fact, by relation.
KEYWORDS = {
    "university": ("studied", "University"),
    "spouse": ("married",),
    "prize": ("Prize",),
    "birthplace": ("born", "native"),
    "population": ("population", "inhabitants"),
    "setting": ("is set",),
    "studio": ("studios", "produced"),
    "score": ("music was", "score"),
    "museum": ("hangs", "belongs"),
    "founder": ("founded", "work of"),
    "founded": ("founded", "established"),
    "first": ("awarded",),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """A value that a page states; ``kind`` is the kind of person that the value names, or empty if unknown."""

    value: str
    kind: str = ""


def find_fact(relation: str, texts: Sequence[str]) -> Fact | None:
    """Return the fact of ``relation`` that the texts state, or ``None``."""
    for pattern in _PATTERNS.get(relation, ()):
        for text in texts:
            if match := re.search(pattern, text):
                kind = match.groupdict().get("k") or ""
                return Fact(match["v"], kind.replace("actress", "actor"))
    return None


@dataclasses.dataclass(slots=True)
class PageNotes:
    """The results of searches for a name, and of lookups on the page found."""

    texts: list[str] = dataclasses.field(default_factory=list)  # the parts of the page that were read
    similar: tuple[str, ...] | None = None  # titles that were offered instead; ``None`` if there is a page
    exhausted: set[str] = dataclasses.field(default_factory=set)  # keywords that have no further sentence


_RESULT = re.compile(r"\(Result (\d+) / (\d+)\)")


class Notes:
    """Notes on everything that was read."""

    def __init__(self, transcript: Sequence[Mapping[str, str]]) -> None:
        self.by_name: dict[str, PageNotes] = {}  # by the name that was searched for
        self.current: str | None = None  # the name that led to the page on which ``lookup`` searches
        for entry in transcript:
            name, _, argument = entry["action"].removesuffix("]").partition("[")
            if name == "search":
                self._searched(argument, entry["observation"])
            elif name == "lookup" and self.current is not None:
                self._looked_up(self.by_name[self.current], argument, entry["observation"])

    def _searched(self, name: str, observation: str) -> None:
        notes = self.by_name.setdefault(name, PageNotes())
        similar = similar_titles(observation)
        if similar is not None:
            notes.similar = similar
        elif not observation.startswith("Invalid action"):
            notes.texts.append(observation)
            notes.exhausted.clear()  # lookups start again from the top
            self.current = name

    def _looked_up(self, notes: PageNotes, keyword: str, observation: str) -> None:
        notes.texts.append(observation)
        match = _RESULT.match(observation)
        if match is None or match[1] == match[2]:
            notes.exhausted.add(keyword)
