"""A generated world: people, organisations, places and works, and the names that some of them share."""

from collections import defaultdict

from spec_envs.draws import Draws
from spec_envs.search.world.entities import Entity, World
from spec_envs.search.world.names import EMBEDDED, Namer, Vocabulary
from spec_envs.search.world.people_and_organisations import (
    make_companies,
    make_marriages,
    make_organisations,
    make_people,
    make_prizes,
)
from spec_envs.search.world.places import make_places
from spec_envs.search.world.works import make_works

#: How many pairs of people in the embedded world share a name.
NAMESAKES = 12


def make_world(
    seed: int | str,
    vocabulary: Vocabulary = EMBEDDED,
    *,
    taken: set[str] | None = None,
    num_namesakes: int = NAMESAKES,
) -> World:
    """The world that ``seed`` generates, which is the same on every machine.

    Args:
        seed: Seeds everything that is drawn.
        vocabulary: The names.
        taken: Names that are in use elsewhere, to which those of this world are added.
        num_namesakes: How many pairs of people share a name.
    """
    world, namer = World(), Namer(Draws("names", seed), vocabulary, set() if taken is None else taken)
    make_places(world, Draws("places", seed), vocabulary)
    make_organisations(world, Draws("organisations", seed), namer)
    make_people(world, Draws("people", seed), namer)
    make_companies(world, Draws("companies", seed))
    make_marriages(world, Draws("marriages", seed))
    make_works(world, Draws("works", seed), namer)
    _share_names(world, Draws("namesakes", seed), num_namesakes)
    make_prizes(world, Draws("prizes", seed))
    give_titles(world)
    return world


def _share_names(world: World, draws: Draws, num_pairs: int) -> None:
    """Give some people the name of a person of the same country and sex, but of another occupation and birthplace."""
    people = draws.shuffled(
        world.of("novelist", "painter", "actor", "architect", "composer", "botanist", "mountaineer")
    )
    shared = 0
    while shared < num_pairs and people:
        one = people.pop()
        for other in people:
            alike = one["female"] is other["female"] and one["country"] is other["country"]
            if alike and one.kind != other.kind and one["birthplace"] is not other["birthplace"]:
                people.remove(other)
                other.name, other.aliases = one.name, []
                shared += 1
                break


def give_titles(world: World) -> None:
    """Give each entity a title: its name, followed by its kind in brackets if several entities share the name."""
    by_name: defaultdict[str, list[Entity]] = defaultdict(list)
    for entity in world.entities:
        by_name[entity.name].append(entity)
    for entities in by_name.values():
        for entity in entities:
            entity.title = entity.name if len(entities) == 1 else f"{entity.name} ({entity.kind})"
    titles = [entity.title for entity in world.entities]
    assert len(set(titles)) == len(titles)
