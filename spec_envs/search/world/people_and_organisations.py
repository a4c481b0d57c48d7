"""The facts about people and their families, and about organisations and prizes."""

from typing import Any

from spec_envs.draws import Draws
from spec_envs.search.world.entities import Entity, World
from spec_envs.search.world.names import Namer

#: By occupation: the number of people, the first and last year of birth, and what they study.
_OCCUPATIONS = {
    "novelist": (38, 1860, 1958, "literature, philosophy, history, law"),
    "composer": (26, 1845, 1970, "music, composition and counterpoint, music theory"),
    "film director": (26, 1895, 1960, "drama, history, literature, engineering"),
    "actor": (34, 1898, 1978, "drama, literature"),
    "painter": (22, 1825, 1935, "fine arts, art history, anatomy"),
    "architect": (20, 1835, 1940, "architecture, civil engineering"),
    "mountaineer": (12, 1845, 1915, "geology, medicine, law"),
    "astronomer": (8, 1830, 1935, "mathematics, physics"),
    "botanist": (8, 1830, 1935, "natural history, medicine"),
    "publisher": (8, 1815, 1855, "law, philology"),
    "film producer": (7, 1872, 1895, "law, economics"),
    "shipowner": (5, 1800, 1860, "law, economics"),
}
_PARENTS = (
    "a clockmaker|a schoolteacher|a country doctor|a railway clerk|a wine merchant|a ship's captain|a printer|"
    "a pharmacist|an organist|a notary|a tailor|a lock keeper|a forester"
).split("|")
#: The present: the last year that the wiki mentions.
NOW = 2020


def was_alive(person: Entity, year: int, age: int = 0) -> bool:
    """Whether the person was alive in ``year``, and at least ``age`` years old."""
    died = person.get("died")
    return person["born"][2] + age <= year and (died is None or year < died[2])


def make_people(world: World, draws: Draws, namer: Namer) -> None:
    """Add all people."""
    countries = world.of("country")
    for occupation, (count, first, last, _) in _OCCUPATIONS.items():
        for number in range(count):
            country = countries[(number + len(occupation)) % len(countries)]
            # Births are spread evenly, so that there is always somebody of the right age.
            year = first + (last - first) * number // count + draws.between(0, (last - first) // count)
            _person(world, draws, namer, occupation, country, year)


def _person(world: World, draws: Draws, namer: Namer, occupation: str, country: Entity, year: int) -> None:
    female = draws.chance(0.45)
    town = draws.pick(country["towns"])
    facts: dict[str, Any] = {
        "female": female,
        "born": (draws.between(1, 28), draws.between(1, 12), year),
        "birthplace": town,
        "country": country,
        "parent": draws.pick(_PARENTS),
        "works": [],
    }
    died = year + draws.between(58, 93)
    if died < NOW - 5:
        facts["died"] = (draws.between(1, 28), draws.between(1, 12), died)
    started = year + draws.between(17, 20)
    universities = [each for each in world.of("university") if each["founded"] < started]
    at_home = [each for each in universities if each["town"]["country"] is country]
    if draws.chance(0.85):
        facts["university"] = draws.pick(at_home if draws.chance(0.6) else universities)
        facts["subject"] = draws.pick(_OCCUPATIONS[occupation][3].split(", "))
        facts["graduated"] = started + draws.between(3, 5)
    name = namer.person(country, female)
    person = world.add(Entity(occupation, name, facts))
    if "university" in facts:
        facts["university"]["graduates"].append(person)
    town["natives"].append(person)
    if draws.chance(0.25):
        first, _, last = name.partition(" ")
        person.aliases.append(f"{first[0]} {draws.pick('ABEGJLMV')} {last}")


def make_marriages(world: World, draws: Draws) -> None:
    """Marry some people of the same country and of similar age."""
    women, men = ([p for p in draws.shuffled(world.people) if p["female"] is female] for female in (True, False))
    for woman in women:
        for man in men:
            near = abs(woman["born"][2] - man["born"][2]) <= 9 and woman["country"] is man["country"]
            if not near or man.get("spouse") or draws.chance(0.5):
                continue
            year = max(woman["born"][2], man["born"][2]) + draws.between(22, 33)
            for one, other in ((woman, man), (man, woman)):
                one.facts |= {"spouse": other, "married": year}
            break


def make_organisations(world: World, draws: Draws, namer: Namer) -> None:
    """Add universities, museums, orchestras, newspapers and clubs, which have no founder."""
    for country in world.of("country"):
        towns = draws.shuffled(country["towns"])
        for kind, form, first, last in (
            ("university", "University of {}", 1420, 1780),
            ("university", "University of {}", 1790, 1850),
            ("museum", draws.pick(("{} Museum of Art", "{} Gallery")), 1810, 1900),
            ("orchestra", "{} Philharmonic Orchestra", 1850, 1920),
            ("newspaper", draws.pick(("{} Gazette", "{} Courier", "{} Tribune")), 1790, 1890),
            ("football club", "{} Athletic Club", 1890, 1925),
        ):
            town = towns.pop()
            facts: dict[str, Any] = {"town": town, "founded": draws.between(first, last)}
            if kind == "university":
                facts["graduates"] = []
            if kind == "museum":
                facts["works"] = []
            if kind == "football club":
                facts["ground"] = f"{namer.surname(country)} Park"
                facts["capacity"] = draws.between(40, 420) * 100
            organisation = world.add(Entity(kind, form.format(town.name), facts, article=kind != "football club"))
            if kind == "university":
                organisation.aliases.append(f"{town.name} University")
            town["seats"].append(organisation)


def make_companies(world: World, draws: Draws) -> None:
    """Give every publisher, film producer and shipowner a company."""
    for occupation, kind, forms in (
        ("publisher", "publishing house", ("{} & Sons", "{} Press", "{} Books")),
        ("film producer", "film studio", ("{} Pictures", "{} Film", "Studio {}")),
        ("shipowner", "shipping company", ("{} Line", "{} Shipping Company")),
    ):
        for founder in world.of(occupation):
            taken = {entity.name for entity in world.entities}
            names = (form.format(founder.name.split()[-1]) for form in draws.shuffled(forms))
            name = next(name for name in names if name not in taken)
            town = founder["birthplace"] if draws.chance(0.3) else draws.pick(founder["country"]["towns"])
            founded = founder["born"][2] + draws.between(24, 38)
            facts = {"town": town, "founder": founder, "founded": founded, "works": []}
            company = world.add(Entity(kind, name, facts, article=name.endswith(("Line", "Company"))))
            founder.facts["company"] = company
            town["seats"].append(company)


def make_prizes(world: World, draws: Draws) -> None:
    """Add two prizes for each of several occupations, with their winners."""
    for occupation, field in (
        ("novelist", "fiction"),
        ("composer", "music"),
        ("film director", "cinema"),
        ("actor", "acting"),
        ("painter", "painting"),
        ("architect", "architecture"),
    ):
        for _ in range(2):
            _prize(world, draws, occupation, field)


def _prize(world: World, draws: Draws, occupation: str, field: str) -> None:
    """Add a prize that is named after a dead person of the occupation, with at most one winner per year."""
    people = world.of(occupation)
    taken = {prize["namesake"].name.split()[-1] for prize in world.of("prize")}
    classics = [each for each in people if each["born"][2] < 1915 and "died" in each.facts]
    namesake = draws.pick([each for each in classics if each.name.split()[-1] not in taken])
    first, winners = namesake["died"][2] + draws.between(1, 6), list[Entity]()
    facts = {"field": field, "occupation": occupation, "namesake": namesake, "first": first, "winners": winners}
    facts["giver"] = draws.pick(world.of("university", "newspaper"))
    prize = world.add(Entity("prize", f"{namesake.name.split()[-1]} Prize", facts, article=True))
    namesake.facts["named after"] = prize
    for person in draws.shuffled(people):
        year = max(first, person["born"][2] + 32) + draws.between(0, 14)
        if "prize" in person.facts or year > NOW or not was_alive(person, year):
            continue
        if len(winners) < 6 and all(winner["won"] != year for winner in winners):
            person.facts |= {"prize": prize, "won": year}
            winners.append(person)
    winners.sort(key=lambda winner: winner["won"])
