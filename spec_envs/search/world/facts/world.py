"""The whole world from a seed."""

from __future__ import annotations

from collections import defaultdict

from spec_envs.draws import Draws
from spec_envs.search.world.facts.entities import Thing, World
from spec_envs.search.world.facts.namer import Namer
from spec_envs.search.world.facts.people import (
    make_companies,
    make_marriages,
    make_organisations,
    make_people,
    make_prizes,
)
from spec_envs.search.world.facts.places import make_places
from spec_envs.search.world.facts.works import make_works

__all__ = ["make_world"]

#: So many pairs of people share a name.
_NAMESAKES = 12


def make_world(seed: int) -> World:
    """The world with that seed: the same on every machine."""
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
    """Have some people share the name of another of the same country and sex, but of another occupation."""
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
    """Title each page; things with the same name have their kind in brackets."""
    by_name: defaultdict[str, list[Thing]] = defaultdict(list)
    for thing in world.things:
        by_name[thing.name].append(thing)
    for things in by_name.values():
        for thing in things:
            thing.title = thing.name if len(things) == 1 else f"{thing.name} ({thing.kind})"
    titles = [thing.title for thing in world.things]
    assert len(set(titles)) == len(titles)
