"""Generates all facts of the world from a seed."""

from collections import defaultdict
from typing import Any

from spec_envs.draws import Draws
from spec_envs.search.world.entities import Entity, World
from spec_envs.search.world.names import COUNTRIES, Namer, names_of
from spec_envs.search.world.people_and_organisations import (
    NOW,
    make_companies,
    make_marriages,
    make_organisations,
    make_people,
    make_prizes,
    was_alive,
)

_GENRES = ("drama", "comedy", "thriller", "war film", "crime film", "romance")
_NOVELS = ("historical novel", "novel", "novel", "epistolary novel", "detective novel")
_BUILDINGS = ("{} Opera House", "{} Central Station", "{} Public Library", "{} Town Hall", "{} Observatory")


class _Maker:
    """Adds works whose years fit the lives of the people involved."""

    def __init__(self, world: World, draws: Draws, namer: Namer) -> None:
        self.world = world
        self.draws = draws
        self.namer = namer

    def novels(self) -> None:
        for author in self.world.of("novelist"):
            for _ in range(self.draws.pick((1, 1, 2))):
                year = self.year(author, 26, 68)
                houses = [each for each in self.world.of("publishing house") if each["founded"] < year]
                facts: dict[str, Any] = {"publisher": self.draws.pick(houses), "genre": self.draws.pick(_NOVELS)}
                facts["setting"] = self.draws.pick(self.world.of("town"))
                novel = self.add("novel", self.namer.novel(), author, "author", year, **facts)
                novel["publisher"]["works"].append(novel)

    def films(self) -> None:
        novels = self.draws.shuffled(self.world.of("novel"))
        for director in self.world.of("film director"):
            for _ in range(self.draws.pick((1, 2, 2))):
                year = max(1922, self.year(director, 27, 70))
                basis = next((each for each in novels if each["year"] + 3 < year), None)
                if basis is None or self.draws.chance(0.45):
                    basis, name = None, self.namer.novel()
                else:
                    novels.remove(basis)
                    name = basis.name if self.draws.chance(0.45) else self.namer.novel()
                self.film(director, year, name, basis)

    def film(self, director: Entity, year: int, name: str, basis: Entity | None) -> None:
        studios = [each for each in self.world.of("film studio") if each["founded"] < year]
        facts: dict[str, Any] = {"studio": self.draws.pick(studios), "genre": self.draws.pick(_GENRES)}
        facts["star"] = self.participant("actor", year, 20, 72)
        facts["score"] = self.participant("composer", year, 25, 80)
        film = self.add("film", name, director, "director", year, **facts)
        if basis is not None:
            film.facts["basis"] = basis
            basis.facts.setdefault("films", []).append(film)
        film["studio"]["works"].append(film)
        for role in ("star", "score"):
            film[role].facts.setdefault("films", []).append(film)

    def participant(self, occupation: str, year: int, youngest: int, oldest: int) -> Entity:
        people = [each for each in self.world.of(occupation) if was_alive(each, year, youngest)]
        return self.draws.pick([each for each in people if each["born"][2] + oldest >= year] or people)

    def operas(self) -> None:
        for composer in self.world.of("composer"):
            facts = {"acts": self.draws.between(2, 4), "premiere": self.draws.pick(self.world.of("town"))}
            self.add("opera", self.namer.opera(), composer, "composer", self.year(composer, 25, 66), **facts)

    def paintings(self) -> None:
        for painter in self.world.of("painter"):
            museum = self.draws.pick(self.world.of("museum"))
            year = self.year(painter, 22, 72)
            painting = self.add("painting", self.namer.painting(), painter, "painter", year, museum=museum)
            museum["works"].append(painting)

    def buildings(self) -> None:
        sites = [(town, form) for town in self.world.of("town") for form in _BUILDINGS]
        for number, architect in enumerate(self.world.of("architect")):
            for _ in range(self.draws.pick((1, 1, 2))):
                if number % 3 == 0:
                    town = self.draws.pick(self.world.of("town"))
                    kind, name = "bridge", f"{self.namer.surname(town['country'])} Bridge"
                else:
                    town, form = self.draws.pick(sites)
                    sites.remove((town, form))
                    kind, name = form.removeprefix("{} ").lower().replace("central ", ""), form.format(town.name)
                work = self.add(kind, name, architect, "architect", self.year(architect, 29, 72), town=town)
                work.article = kind not in ("bridge", "station")
                town["seats"].append(work)

    def ascents(self) -> None:
        for climber, mountain in zip(self.world.of("mountaineer"), self.world.of("mountain"), strict=True):
            mountain.facts |= {"climber": climber, "year": self.year(climber, 22, 45)}
            climber.facts["mountain"] = mountain

    def conductors(self) -> None:
        for orchestra in self.world.of("orchestra"):
            since = self.draws.between(1955, 1985)
            orchestra.facts |= {"conductor": self.participant("composer", since, 26, 70), "since": since}
            orchestra["conductor"].facts.setdefault("orchestras", []).append(orchestra)

    def year(self, maker: Entity, youngest: int, oldest: int) -> int:
        died = maker["died"][2] if "died" in maker.facts else NOW
        born = maker["born"][2]
        return self.draws.between(born + youngest, min(born + oldest, died - 1, NOW - 1))

    def add(self, kind: str, name: str, maker: Entity, role: str, year: int, **facts: Any) -> Entity:
        work = self.world.add(Entity(kind, name, {role: maker, "year": year, **facts}))
        maker["works"].append(work)
        return work


def make_works(world: World, draws: Draws, namer: Namer) -> None:
    """Add all works, with the facts that connect them to people."""
    maker = _Maker(world, draws, namer)
    maker.novels()
    maker.films()
    maker.operas()
    maker.paintings()
    maker.buildings()
    maker.ascents()
    maker.conductors()
    for person in world.people:
        for works in (person["works"], person.get("films") or []):
            works.sort(key=lambda work: work["year"])


_SEAS = ("Grey Sea", "Sea of Lorn", "Gulf of Amaris")
_REGIONS = ("north", "south", "east", "west", "centre", "north-east", "south-west")
_TRADES = (
    "its glassworks|its paper mills|salt|its horse fair|clockmaking|its shipyards|wool|cider|its tanneries|slate|"
    "printing|its ropewalks|pottery|its copper mines|lace|smoked fish"
).split("|")


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
