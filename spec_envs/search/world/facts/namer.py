"""Draws names for entities. No name is drawn twice."""

from __future__ import annotations

from collections.abc import Callable

from spec_envs.draws import Draws
from spec_envs.search.world.facts import name_lists as names
from spec_envs.search.world.facts.entities import Entity
from spec_envs.search.world.facts.name_lists import COUNTRIES, CountryNames

_NAMES = {names.name: names for names in COUNTRIES}


def names_of(country: Entity) -> CountryNames:
    """The names that are in use in a country."""
    return _NAMES[country.name]


class Namer:
    """Draws names, each at most once."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._taken: set[str] = set()
        self._scenes = draws.shuffled(names.SCENES)

    def person(self, country: Entity, female: bool) -> str:
        """A first name and a surname."""
        there = names_of(country)
        first = (there.women if female else there.men).split()
        return self._new(lambda: f"{self._draws.pick(first)} {self._draws.pick(there.surnames.split())}")

    def surname(self, country: Entity) -> str:
        """A surname that is no name of an organisation or work so far."""
        return self._new(lambda: self._draws.pick(names_of(country).surnames.split()))

    def novel(self) -> str:
        """A title for a novel or a film."""
        pick = self._draws.pick
        forms: tuple[Callable[[], str], ...] = (
            lambda: f"The {pick(names.ADJECTIVES)} {pick(names.NOUNS)}",
            lambda: f"The {pick(names.ADJECTIVES)} {pick(names.NOUNS)}",
            lambda: f"{pick(names.PLURALS)} in {pick(names.TIMES)}",
            lambda: f"A {pick(names.NOUNS)} for {pick(names.HEROES)}s".replace("A E", "An E").replace("A I", "An I"),
        )
        return self._new(lambda: pick(forms)())

    def opera(self) -> str:
        """A title for an opera."""
        return self._new(lambda: f"The {self._draws.pick(names.HEROES)}'s {self._draws.pick(names.KIN)}")

    def painting(self) -> str:
        """A title for a painting."""
        return self._scenes.pop()

    def _new(self, make: Callable[[], str]) -> str:
        while (made := make()) in self._taken:
            pass
        self._taken.add(made)
        return made
