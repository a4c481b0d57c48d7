"""The articles about works: novels, films, operas, paintings and buildings."""

from __future__ import annotations

from spec_envs.search.world.entities import Entity
from spec_envs.search.world.people_and_organisations import NOW
from spec_envs.search.world.prose import Paragraphs, Writer, a, full_name, number


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
