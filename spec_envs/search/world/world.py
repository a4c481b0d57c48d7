"""Generates all facts of the world from a seed."""

from __future__ import annotations

from collections import defaultdict

from spec_envs.draws import Draws
from spec_envs.search.world.entities import Entity, World
from spec_envs.search.world.names import COUNTRIES, Namer, names_of
from spec_envs.search.world.people_and_organisations import (
    make_companies,
    make_marriages,
    make_organisations,
    make_people,
    make_prizes,
)
from spec_envs.search.world.works import make_works

_SEAS = ("Grey Sea", "Sea of Lorn", "Gulf of Amaris")
_REGIONS = ("north", "south", "east", "west", "centre", "north-east", "south-west")
_TRADES = (
    "its glassworks",
    "its paper mills",
    "salt",
    "its horse fair",
    "clockmaking",
    "its shipyards",
    "wool",
    "cider",
    "its tanneries",
    "slate",
    "printing",
    "its ropewalks",
    "pottery",
    "its copper mines",
    "lace",
    "smoked fish",
)


def make_places(world: World, draws: Draws) -> None:
    """Add all places, with the facts that connect them."""
    seas = [world.add(Entity("sea", name, {"rivers": []}, article=True)) for name in _SEAS]
    for number, names in enumerate(COUNTRIES):
        facts = {"demonym": names.demonym, "language": names.language, "currency": names.currency, "towns": []}
        country = world.add(Entity("country", names.name, {**facts, "sea": seas[number % len(seas)]}))
        mountains = [_mountain(world, draws, country, name) for name in names.mountains.split()]
        rivers = [
            _river(world, draws, country, name, mountain)
            for name, mountain in zip(names.rivers.split(), mountains, strict=True)
        ]
        _towns(world, draws, country, rivers)


def _mountain(world: World, draws: Draws, country: Entity, name: str) -> Entity:
    facts = {"country": country, "height": draws.between(1_400, 4_900)}
    return world.add(Entity("mountain", f"Mount {name}", facts))


def _river(world: World, draws: Draws, country: Entity, name: str, source: Entity) -> Entity:
    sea = country["sea"]
    facts = {"country": country, "source": source, "length": draws.between(90, 780), "mouth": sea, "towns": []}
    river = world.add(Entity("river", f"River {name}", facts, article=True, aliases=[f"{name} River"]))
    sea["rivers"].append(river)
    return river


def _towns(world: World, draws: Draws, country: Entity, rivers: list[Entity]) -> None:
    for number, name in enumerate(names_of(country).towns.split()):
        river = rivers[number % 2]
        facts = {
            "country": country,
            "region": draws.pick(_REGIONS),
            "river": river,
            "population": _population(draws, number),
            "founded": draws.between(1050, 1690),
            "trade": draws.pick(_TRADES),
            "natives": [],
            "seats": [],
        }
        town = world.add(Entity("town", name, facts))
        river["towns"].append(town)
        country["towns"].append(town)
    country.facts["capital"] = country["towns"][0]
    country.facts["population"] = draws.between(31, 190) * 100_000


def _population(draws: Draws, rank: int) -> int:
    return draws.between(380_000, 990_000) if rank == 0 else draws.between(60, 1_900) * 100 + draws.between(1, 99)


#: How many pairs of people share a name.
_NAMESAKES = 12


def make_world(seed: int) -> World:
    """The world that ``seed`` generates, which is the same on every machine."""
    world, namer = World(), Namer(Draws("names", seed))
    make_places(world, Draws("places", seed))
    make_organisations(world, Draws("organisations", seed), namer)
    make_people(world, Draws("people", seed), namer)
    make_companies(world, Draws("companies", seed))
    make_marriages(world, Draws("marriages", seed))
    make_works(world, Draws("works", seed), namer)
    _share_names(world, Draws("namesakes", seed))
    make_prizes(world, Draws("prizes", seed))
    _give_titles(world)
    return world


def _share_names(world: World, draws: Draws) -> None:
    """Give some people the name of a person of the same country and sex, but of another occupation and birthplace."""
    people = draws.shuffled(
        world.of("novelist", "painter", "actor", "architect", "composer", "botanist", "mountaineer")
    )
    shared = 0
    while shared < _NAMESAKES:
        one = people.pop()
        for other in people:
            alike = one["female"] is other["female"] and one["country"] is other["country"]
            if alike and one.kind != other.kind and one["birthplace"] is not other["birthplace"]:
                people.remove(other)
                other.name, other.aliases = one.name, []
                shared += 1
                break


def _give_titles(world: World) -> None:
    """Give each entity a title: its name, followed by its kind in brackets if several entities share the name."""
    by_name: defaultdict[str, list[Entity]] = defaultdict(list)
    for entity in world.entities:
        by_name[entity.name].append(entity)
    for entities in by_name.values():
        for entity in entities:
            entity.title = entity.name if len(entities) == 1 else f"{entity.name} ({entity.kind})"
    titles = [entity.title for entity in world.entities]
    assert len(set(titles)) == len(titles)
