"""The data types of the world: entities, with facts whose values are numbers, texts or other entities."""

import dataclasses
from typing import Any


@dataclasses.dataclass(eq=False)
class Entity:
    """A place, person, organisation or work."""

    kind: str  # the kind: "town", "novelist", "film", …; for people it is the occupation
    name: str  # the name
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)  # by relation: number, text, entity or entities
    article: bool = False  # whether the name takes "the"
    title: str = ""  # the title of the page: the name, with the kind in brackets if another entity has the same name
    aliases: list[str] = dataclasses.field(default_factory=list)  # other names, which redirect to the page

    def __getitem__(self, relation: str) -> Any:
        return self.facts[relation]

    def get(self, relation: str) -> Any:
        """The fact of this relation; ``None`` if there is none."""
        return self.facts.get(relation)

    @property
    def is_person(self) -> bool:
        """Whether the entity is a human being."""
        return "born" in self.facts


@dataclasses.dataclass
class World:
    """All entities, in the order in which they were made."""

    entities: list[Entity] = dataclasses.field(default_factory=list)

    def add(self, entity: Entity) -> Entity:
        """Add ``entity``, and return it."""
        self.entities.append(entity)
        return entity

    def of(self, *kinds: str) -> list[Entity]:
        """All entities of these kinds."""
        return [entity for entity in self.entities if entity.kind in kinds]

    @property
    def people(self) -> list[Entity]:
        """All people."""
        return [entity for entity in self.entities if entity.is_person]
