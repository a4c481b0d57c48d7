"""The places of the generated world: seas, regions, mountains, rivers and towns."""

from spec_envs.draws import Draws
from spec_envs.search.world.entities import Entity, World
from spec_envs.search.world.names import Vocabulary, names_of

_REGIONS = ("north", "south", "east", "west", "centre", "north-east", "south-west")

_TRADES = (
    "its glassworks|its paper mills|salt|its horse fair|clockmaking|its shipyards|wool|cider|its tanneries|slate|"
    "printing|its ropewalks|pottery|its copper mines|lace|smoked fish"
).split("|")


def make_places(world: World, draws: Draws, vocabulary: Vocabulary) -> None:
    """Add all places, with the facts that connect them."""
    seas = [world.add(Entity("sea", name, {"rivers": []}, article=True)) for name in vocabulary.seas]
    for number, names in enumerate(vocabulary.countries):
        facts = {"demonym": names.demonym, "language": names.language, "currency": names.currency, "towns": []}
        country = world.add(Entity("country", names.name, {**facts, "sea": seas[number % len(seas)], "names": names}))
        mountains = [
            world.add(Entity("mountain", f"Mount {name}", {"country": country, "height": draws.between(1_400, 4_900)}))
            for name in names.mountains.split()
        ]
        rivers = [
            _river(world, draws, country, name, mountain)
            for name, mountain in zip(names.rivers.split(), mountains, strict=True)
        ]
        _towns(world, draws, country, rivers)


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
