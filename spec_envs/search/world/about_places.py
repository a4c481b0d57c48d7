"""The articles about places: countries, seas, mountains, rivers and towns."""

from __future__ import annotations

from spec_envs.search.world.entities import Entity
from spec_envs.search.world.prose import Paragraphs, Writer, full_name, listed, occupation, the_full_name


def write_country(country: Entity, writer: Writer) -> Paragraphs:
    """The article about a country."""
    capital, sea = full_name(country["capital"]), writer.the(country["sea"])
    first = [
        f"{country.name} is a country on {sea} with {country['population']:,} inhabitants",
        writer.pick(f"Its capital is {capital}", f"The capital and largest town is {capital}"),
        f"The official language is {country['language']}, and the currency is the {country['currency']}",
    ]
    rivers = [writer.the(river) for river in dict.fromkeys(town["river"] for town in country["towns"])]
    towns = [full_name(town) for town in country["towns"][1:6]]
    second = [
        f"The longest rivers are {listed(rivers)}",
        "Most people live in the plains along their banks, and the uplands are thinly settled",
        f"Apart from the capital, the better-known towns are {listed(towns)}",
        "Winters are mild on the coast and hard inland",
    ]
    third = writer.some(
        (
            "Parliament has one chamber, whose members are elected for four years",
            "Railways were begun early and reach every town",
            "Timber, machinery and books are the chief exports",
            "School is compulsory up to the age of sixteen",
            "The national holiday is the first Sunday in June",
        ),
        3,
    )
    return [first, second, third]


def write_sea(sea: Entity, writer: Writer) -> Paragraphs:
    """The article about a sea."""
    rivers = [writer.the(river) for river in sea["rivers"]]
    first = [
        f"The {sea.name} is a shallow sea known for sudden fogs",
        f"Among the rivers that empty into it are {listed(rivers)}",
        writer.pick("Herring and cod are fished there", "Its tides are among the lowest that have been measured"),
    ]
    return [first]


def write_mountain(mountain: Entity, writer: Writer) -> Paragraphs:
    """The article about a mountain."""
    country, climber = full_name(mountain["country"]), full_name(mountain["climber"])
    first = [
        writer.pick(
            f"{mountain.name} is a mountain in {country}, {mountain['height']:,} metres high",
            f"{mountain.name} is a mountain in {country} with a height of {mountain['height']:,} metres",
        ),
        writer.pick(
            f"It was first climbed in {mountain['year']} by {climber}",
            f"The first ascent was made in {mountain['year']} by {climber}",
        ),
    ]
    second = writer.some(
        (
            "The normal route follows the south-east ridge and takes two days",
            "Its northern face has been climbed only three times",
            "Chamois and marmots are common on the lower slopes",
            "A hut below the summit is open from June to September",
            "In clear weather the sea can be seen from the top",
        ),
        3,
    )
    return [first, second]


def write_river(river: Entity, writer: Writer) -> Paragraphs:
    """The article about a river."""
    country, source, sea = full_name(river["country"]), full_name(river["source"]), writer.the(river["mouth"])
    towns = [full_name(town) for town in river["towns"]]
    first = [
        writer.pick(
            f"The {river.name} is a river in {country}, {river['length']} kilometres long",
            f"The {river.name} is a river in {country} with a length of {river['length']} kilometres",
        ),
        writer.pick(f"It rises on {source} and empties into {sea}", f"From its source on {source} it flows into {sea}"),
        f"On its way it passes {listed(towns)}",
    ]
    second = writer.some(
        (
            "Barges go up as far as the first weir",
            "Salmon have returned since the tanneries closed",
            "A flood in the spring of the year 1909 carried off eleven bridges",
            "A cycle path runs along the left bank",
            "In hard winters the lower course freezes over",
        ),
        2,
    )
    return [first, second]


def write_town(town: Entity, writer: Writer) -> Paragraphs:
    """The article about a town."""
    parts = [_town_lead(town, writer), _town_history(town, writer), _town_sights(town, writer)]
    return [part for part in parts if part]


def _town_lead(town: Entity, writer: Writer) -> list[str]:
    country, river = full_name(town["country"]), the_full_name(town["river"])
    capital = town["country"]["capital"] is town
    where = f"in the {town['region']} of {country}"
    lead = [
        writer.pick(
            f"{town.name} is a town {where}, on the banks of {river}",
            f"{town.name} is a town {where} that lies on {river}",
        )
    ]
    return [*lead, "It is the capital of the country"] if capital else lead


def _town_history(town: Entity, writer: Writer) -> list[str]:
    people = writer.pick(
        f"At the census of 2011 {town.name} had {town['population']:,} inhabitants",
        f"The population was {town['population']:,} at the census of 2011",
        f"In 2011 the town had a population of {town['population']:,}",
    )
    history = [
        writer.pick(
            f"The town received its charter in {town['founded']}",
            f"It is first mentioned in a deed of {town['founded']}",
        ),
        writer.pick(
            f"For centuries it lived on {town['trade']}",
            f"It used to be known for {town['trade']}",
        ),
        *writer.some(
            (
                "A great fire destroyed the quarter by the river, which was rebuilt in stone",
                "The old walls were pulled down to make room for a ring of gardens",
                "The railway arrived late, since the citizens feared for their cattle",
                "The market is still held on Tuesdays and Saturdays",
                "A tram line, closed for thirty years, was reopened on the wish of the citizens",
            ),
            2,
        ),
    ]
    return [people, *history] if writer.chance(0.55) else [*history, people]


def _town_sights(town: Entity, writer: Writer) -> list[str]:
    sentences = []
    seats = [f"{writer.the(each)} ({each.get('founded') or each['year']})" for each in town["seats"][:4]]
    if seats:
        sentences.append(
            f"Among its sights and institutions are {listed(seats)}"
            if len(seats) > 1 and writer.chance(0.5)
            else f"The town is home to {listed(seats)}"
        )
    natives = [
        f"the {occupation(person)} {full_name(person)} (born {person['born'][2]})"
        for person in sorted(town["natives"], key=lambda person: person["born"][2])[:5]
    ]
    if natives:
        sentences.append(f"Natives of {town.name} include {listed(natives)}")
    return sentences
