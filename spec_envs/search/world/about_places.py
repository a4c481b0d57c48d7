"""The articles about places, from countries to towns, and about works, from novels to buildings."""

from spec_envs.search.world.entities import Entity
from spec_envs.search.world.people_and_organisations import NOW
from spec_envs.search.world.prose import Paragraphs, Writer, a, full_name, listed, number, occupation, the_full_name


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


def write_novel(novel: Entity, writer: Writer) -> Paragraphs:
    """The article about a novel."""
    author, year, publisher = novel["author"], novel["year"], writer.the(novel["publisher"])
    demonym, genre = author["country"]["demonym"], novel["genre"]
    lead = writer.pick(
        f"{novel.name} is {a(genre)} by the {demonym} writer {full_name(author)}, first published in {year}",
        f"{novel.name} is {a(genre)} written by {full_name(author)} and published in {year}",
        f"First published in {year}, {novel.name} is {a(genre)} by {full_name(author)}",
    )
    first = [lead, writer.pick(f"It was published by {publisher}", f"The first edition was brought out by {publisher}")]
    plots = (
        "At its centre stands a family that has kept a secret for two generations",
        "The plot follows a young surveyor who misses the last train and stays for a winter",
        "Told by three narrators who contradict each other, it describes the decline of a merchant house",
        "Its heroine inherits a house that nobody will enter, and sets about repairing it",
        "The story opens with the arrival of a letter that was posted twenty years before",
        "Most of the book takes place in a single night, during a flood",
    )
    receptions = (
        "The first printing sold out within a month",
        "Reviewers were divided, and it took ten years before a second edition appeared",
        "It has been translated into fourteen languages",
        "Schoolchildren know the opening paragraph by heart",
        "The manuscript, long thought lost, came to light at an auction",
        "A stage version was tried once, and given up after six evenings",
    )
    setting = full_name(novel["setting"])
    second = [*writer.some(plots, 2), writer.pick(f"The story is set in {setting}", f"The novel is set in {setting}")]
    third = writer.some(receptions, 2)
    third += [f"In {film['year']} it was made into a film, {full_name(film)}" for film in novel.get("films") or ()]
    return [first, second, third]


def write_film(film: Entity, writer: Writer) -> Paragraphs:
    """The article about a film."""
    director, year = writer.link(film["director"]), film["year"]
    demonym = film["director"]["country"]["demonym"]
    kind = f"{demonym} {film['genre']}" if film["genre"].endswith("film") else f"{demonym} {film['genre']} film"
    lead = writer.pick(
        f"{film.name} is {a(str(year))} {kind} directed by {director}",
        f"{film.name} is {a(kind)} of {year}, directed by {director}",
        f"Directed by {director}, {film.name} is {a(kind)} that was released in {year}",
    )
    star, studio = full_name(film["star"]), writer.the(film["studio"])
    first = [lead, writer.pick(f"{star} plays the leading role", f"The leading role is played by {star}")]
    if "basis" in film.facts:
        basis = full_name(film["basis"])
        first.append(
            writer.pick(f"It is based on the novel {basis}", f"The screenplay was adapted from the novel {basis}")
        )
    score = full_name(film["score"])
    second = [
        f"The film was produced by {studio}"
        if "Studio" in studio
        else writer.pick(f"The film was produced by {studio}", f"It was shot at the studios of {studio}"),
        *writer.some(
            (
                "Filming took eleven weeks, three of which were lost to rain",
                "The final scene was rewritten on the set the night before it was shot",
                "For the crowd scenes the whole fire brigade was hired",
                "The negative was believed to have burnt until a copy turned up in a cellar",
                "The producers had asked for a happy ending, which was filmed and thrown away",
            ),
            2,
        ),
        writer.pick(f"The music was written by {score}", f"{score} composed the score"),
    ]
    receptions = [
        "It ran for nineteen weeks in the capital",
        "The critics were cool, the public was not",
        "It is often named among the finest films of its decade",
    ]
    if year + 50 < NOW:
        receptions.append("A restored version was shown for its fiftieth anniversary")
    return [first, second, writer.some(receptions, 1)]


def write_opera(opera: Entity, writer: Writer) -> Paragraphs:
    """The article about an opera."""
    composer, year, town = writer.link(opera["composer"]), opera["year"], full_name(opera["premiere"])
    lead = writer.pick(
        f"{opera.name} is an opera in {number(opera['acts'])} acts by {composer}",
        f"{opera.name} is an opera in {number(opera['acts'])} acts with music by {composer}",
    )
    premiere = writer.pick(
        f"It was first performed in {town} in {year}", f"The first performance took place in {town} in {year}"
    )
    stories = (
        "The action turns on a wager between two brothers",
        "The heroine, disguised as a pedlar, follows the army across the mountains",
        "It tells of a stolen bell that rings whenever a lie is told",
        "In the second act the chorus sings from behind the audience",
        "The overture is often played on its own",
        "Its final duet became popular as a song",
        "After a scandal at the third performance the piece disappeared from the stage for years",
    )
    texts = writer.some(stories, 4)
    return [[lead, premiere], texts[:2], texts[2:]]


def write_painting(painting: Entity, writer: Writer) -> Paragraphs:
    """The article about a painting."""
    painter, year, museum = writer.link(painting["painter"]), painting["year"], writer.the(painting["museum"])
    lead = writer.pick(
        f"{painting.name} is an oil painting by {painter}, completed in {year}",
        f"{painting.name} is a painting in oil on canvas by {painter} from {year}",
    )
    remarks = (
        "X-rays have shown an older picture underneath",
        "The figure on the left is thought to be the painter's sister",
        "The frame is the original one, carved by a ship's carpenter",
        "For a long time it hung in a railway station, where smoke darkened it",
        "A preparatory drawing in red chalk has survived",
        "It was stolen once and found a week later in a tram",
        "The composition was copied on plates and biscuit tins",
    )
    texts = writer.some(remarks, 4)
    return [[lead, texts[0]], [writer.pick(f"It hangs in {museum}", f"Today it belongs to {museum}"), *texts[1:]]]


def write_building(building: Entity, writer: Writer) -> Paragraphs:
    """The article about a building or a bridge."""
    town, architect, year = building["town"], writer.link(building["architect"]), building["year"]
    name = f"The {building.name}" if building.article else building.name
    lead = writer.pick(
        f"{name} is {a(building.kind)} in {full_name(town)}, {full_name(town['country'])}",
        f"{name} is {a(building.kind)} in the {town['country']['demonym']} town of {full_name(town)}",
    )
    design = writer.pick(
        f"It was designed by {architect} and completed in {year}",
        f"Designed by {architect}, it was completed in {year}",
        f"The design is by {architect}; the work was completed in {year}",
    )
    first = [lead, design]
    remarks = [
        "Construction took four years and cost twice as much as planned",
        "The ironwork was cast by a local foundry",
        "Since its renovation it has been a listed monument",
        "Postcards have made it the best-known sight of the town",
        "A plaque with the names of all the workmen was unveiled by the oldest of them",
    ]
    if building.kind == "bridge":
        first.append(f"It crosses {writer.the(town['river'])}")
        remarks += ["Its three arches are of granite", "Carts paid a toll there until the debt was settled"]
    else:
        remarks += [
            "It is built of red brick on a base of granite",
            "A fire damaged the roof, which was replaced in copper",
        ]
    return [first, writer.some(remarks, 3)]
