"""What all pages are written with: links, articles, dates and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spec_envs.draws import Draws
    from spec_envs.search.world.facts.entities import Thing

__all__ = ["Paragraphs", "Writer", "a", "date", "full_name", "listed", "number", "occupation", "the_full_name"]

#: Paragraphs of sentences, in wiki markup, each without its full stop.
Paragraphs = list[list[str]]

_MONTHS = ("January February March April May June July August September October November December").split()
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Writer:
    """Writes about one thing; what it draws depends on that thing's title alone."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    def pick(self, *forms: str) -> str:
        """One of several ways to say it."""
        return self._draws.pick(forms)

    def chance(self, probability: float) -> bool:
        """``True`` that often."""
        return self._draws.chance(probability)

    def some(self, forms: Sequence[str], count: int) -> list[str]:
        """So many of the sentences, in another order."""
        return self._draws.shuffled(forms)[:count]

    def link(self, thing: Thing) -> str:
        """A link to its page, now and then by another name that redirects there."""
        if thing.aliases and self.chance(0.3):
            return f"[[{thing.title}|{self._draws.pick(thing.aliases)}]]"
        return full_name(thing)

    def the(self, thing: Thing) -> str:
        """Such a link with the article that the name takes."""
        shown = self.link(thing)
        return f"the {shown}" if thing.article and not shown.endswith(" University]]") else shown


def full_name(thing: Thing) -> str:
    """A link by the thing's own name, as wherever a question may ask for it."""
    return f"[[{thing.title}]]" if thing.title == thing.name else f"[[{thing.title}|{thing.name}]]"


def the_full_name(thing: Thing) -> str:
    """Such a link with the article that the name takes."""
    return f"the {full_name(thing)}" if thing.article else full_name(thing)


def occupation(person: Thing) -> str:
    """What the person is called by occupation."""
    return "actress" if person.kind == "actor" and person["female"] else person.kind


def a(words: str) -> str:
    """The words with an indefinite article."""
    return f"{'an' if words[0] in 'AEIOaeio' else 'a'} {words}"


def date(day_month_year: tuple[int, int, int]) -> str:
    """A date as "12 March 1921"."""
    day, month, year = day_month_year
    return f"{day} {_MONTHS[month - 1]} {year}"


def number(value: int) -> str:
    """A number with commas between thousands; up to ten in words."""
    return _COUNTS[value] if value < len(_COUNTS) else f"{value:,}"


def listed(items: Sequence[str]) -> str:
    """The items with commas, and "and" before the last."""
    return " and ".join([part for part in (", ".join(items[:-1]), items[-1]) if part])
