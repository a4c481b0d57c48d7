"""What all articles are written with: links, "a" and "the", dates, numbers and lists."""

from collections.abc import Sequence

from spec_envs.draws import Draws
from spec_envs.search.world.entities import Entity

#: Paragraphs, as lists of sentences in wiki markup without their full stops.
Paragraphs = list[list[str]]

_MONTHS = ("January February March April May June July August September October November December").split()
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Writer:
    """Draws the wording of the article about one entity. The draws depend on the seed and the entity's title alone."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    def pick(self, *forms: str) -> str:
        """One of several wordings."""
        return self._draws.pick(forms)

    def chance(self, probability: float) -> bool:
        """``True`` with this probability."""
        return self._draws.chance(probability)

    def some(self, forms: Sequence[str], count: int) -> list[str]:
        """``count`` of the sentences, in random order."""
        return self._draws.shuffled(forms)[:count]

    def link(self, entity: Entity) -> str:
        """A link to the entity's page; sometimes under another name of the entity, which redirects to the page."""
        if entity.aliases and self.chance(0.3):
            return f"[[{entity.title}|{self._draws.pick(entity.aliases)}]]"
        return full_name(entity)

    def the(self, entity: Entity) -> str:
        """A link to the entity's page, with "the" if the entity's name takes it."""
        shown = self.link(entity)
        return f"the {shown}" if entity.article and not shown.endswith(" University]]") else shown


def full_name(entity: Entity) -> str:
    """A link under the entity's own name, for facts that a question may ask for."""
    return f"[[{entity.title}]]" if entity.title == entity.name else f"[[{entity.title}|{entity.name}]]"


def the_full_name(entity: Entity) -> str:
    """A link to the entity's page, with "the" if the entity's name takes it."""
    return f"the {full_name(entity)}" if entity.article else full_name(entity)


def occupation(person: Entity) -> str:
    """The person's occupation."""
    return "actress" if person.kind == "actor" and person["female"] else person.kind


def a(words: str) -> str:
    """The words after "a" or "an"."""
    return f"{'an' if words[0] in 'AEIOaeio' else 'a'} {words}"


def date(day_month_year: tuple[int, int, int]) -> str:
    """A date as "12 March 1921"."""
    day, month, year = day_month_year
    return f"{day} {_MONTHS[month - 1]} {year}"


def number(value: int) -> str:
    """A number: in words up to ten, and with commas between thousands above."""
    return _COUNTS[value] if value < len(_COUNTS) else f"{value:,}"


def listed(items: Sequence[str]) -> str:
    """The items, separated by commas and a last "and"."""
    return " and ".join([part for part in (", ".join(items[:-1]), items[-1]) if part])
