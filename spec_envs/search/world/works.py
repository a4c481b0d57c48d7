"""The works of the generated world: books, films, buildings and their makers."""

from typing import Any

from spec_envs.draws import Draws
from spec_envs.search.world.entities import Entity, World
from spec_envs.search.world.names import Namer
from spec_envs.search.world.people_and_organisations import NOW, was_alive

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
