"""What the world consists of: things with facts about them, which are values or other things."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Thing", "World"]


@dataclasses.dataclass(eq=False)
class Thing:
    """A place, person, organisation or work.

    Attributes:
        kind: What it is: "town", "novelist", "film", …
        name: What it is called.
        facts: By relation: a number, a text, another thing, or a list of things.
        article: Whether its name takes "the".
        title: The title of its page: the name, with the kind in brackets where another thing has the same name.
        aliases: Other names, which redirect to its page.
    """

    kind: str
    name: str
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    article: bool = False
    title: str = ""
    aliases: list[str] = dataclasses.field(default_factory=list)

    def __getitem__(self, relation: str) -> Any:
        return self.facts[relation]

    def get(self, relation: str) -> Any:
        """The fact, or ``None``."""
        return self.facts.get(relation)

    @property
    def is_person(self) -> bool:
        """Whether it is a human being."""
        return "born" in self.facts


@dataclasses.dataclass
class World:
    """All things, in the order in which they were made."""

    things: list[Thing] = dataclasses.field(default_factory=list)

    def add(self, thing: Thing) -> Thing:
        """Add and return it."""
        self.things.append(thing)
        return thing

    def of(self, *kinds: str) -> list[Thing]:
        """All things of these kinds."""
        return [thing for thing in self.things if thing.kind in kinds]

    @property
    def people(self) -> list[Thing]:
        """All people."""
        return [thing for thing in self.things if thing.is_person]
