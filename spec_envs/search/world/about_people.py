"""The articles about people, organisations and prizes."""

from spec_envs.search.world.entities import Entity
from spec_envs.search.world.prose import (
    Paragraphs,
    Writer,
    a,
    date,
    full_name,
    listed,
    number,
    occupation,
    the_full_name,
)

_TEMPERS = {
    "novelist": (
        "Critics praised the economy of {her} sentences and the patience with which {she} drew minor characters",
        "{She} wrote every morning before breakfast, by hand, and seldom corrected a page twice",
        "Before {her} first book appeared, {she} had worked as a proofreader and a translator",
        "{Her} notebooks, which run to several thousand pages, have not been published in full",
        "Readers of later generations rediscovered {her} work through paperback editions",
    ),
    "composer": (
        "{She} had perfect pitch and was said to hear a score as soon as {she} read it",
        "{Her} orchestration, lean and bright, influenced a generation of pupils",
        "For many years {she} taught harmony to private pupils, among them several conductors",
        "{She} collected folk songs on long walking tours and used them freely",
        "A severe critic of {her} own music, {she} burnt a good part of the early works",
    ),
    "film director": (
        "{She} came to the cinema by way of the theatre, where {she} had painted sets",
        "{Her} films are known for long takes and for the use of natural light",
        "On the set {she} was exacting, and rarely printed fewer than ten takes of a scene",
        "{She} preferred to work with the same small crew from one film to the next",
        "Retrospectives have since been shown at festivals in several countries",
    ),
    "actor": (
        "{She} made {her} debut on the stage and took voice lessons well into middle age",
        "Audiences loved the dry wit that {she} brought to even the smallest part",
        "{She} was offered a contract abroad and turned it down",
        "Off the screen {she} bred horses and avoided reporters",
        "Between films {she} returned to the theatre and gave readings on the radio",
    ),
    "painter": (
        "{She} worked slowly, in thin layers, and sold few canvases in the first ten years",
        "The light of the coast, which {she} had known since childhood, returns in most of the pictures",
        "{She} kept a studio above a bakery, where {she} also gave lessons",
        "Early reviewers found {her} colours harsh; a later generation thought them prophetic",
        "{She} seldom signed a picture, which has given experts a good deal of work",
    ),
    "architect": (
        "{She} held that a building should explain itself to whoever walks through it",
        "{Her} office never employed more than a dozen people",
        "{She} favoured brick, and is said to have visited every kiln that supplied {her} sites",
        "Several designs that were never built are kept in the state archives",
        "{Her} essays on daylight are still read by students",
    ),
    "mountaineer": (
        "{She} learnt to climb with shepherds, in hobnailed boots and without a rope",
        "{She} kept careful records of weather and ice, which geographers later used",
        "After a fall in which two fingers were lost, {she} gave up winter ascents",
        "Companions described {her_object} as cautious, cheerful and never in a hurry",
    ),
    "astronomer": (
        "{She} catalogued more than two thousand double stars",
        "{Her} observing books are models of tidiness, down to the remarks about passing clouds",
        "{She} built {her} first telescope from a stove pipe and two spectacle lenses",
        "A crater on the far side of the Moon bears {her} name",
    ),
    "botanist": (
        "{She} described over three hundred species of moss",
        "{Her} herbarium, bequeathed to the state, fills forty cabinets",
        "{She} walked rather than rode on expeditions, so as not to miss anything small",
        "A genus of saxifrage was named after {her_object}",
    ),
    "publisher": (
        "{She} read every manuscript to the end, and answered each with a letter in {her} own hand",
        "{She} was among the first to pay authors a share of the sales",
        "{Her} rivals called the firm reckless; it never missed a payment",
    ),
    "film producer": (
        "{She} had begun by renting out magic lanterns at country fairs",
        "{She} insisted that every cinema which showed the films should have a real pianist",
        "Two fires destroyed the first studio, and twice {she} had it built again",
    ),
    "shipowner": (
        "{She} went to sea at fifteen and held a master's certificate at twenty-four",
        "{She} had lifeboats for everybody on board long before the law required it",
        "{She} gave a tenth of the profits to a home for retired sailors",
    ),
}


def write_person(person: Entity, writer: Writer) -> Paragraphs:
    """The article about a person: lead, life and work."""
    return [part for part in (_lead(person, writer), _life(person, writer), _work(person, writer)) if part]


def _she(person: Entity) -> dict[str, str]:
    if person["female"]:
        return {"she": "she", "She": "She", "her": "her", "Her": "Her", "her_object": "her", "child": "daughter"}
    return {"she": "he", "She": "He", "her": "his", "Her": "His", "her_object": "him", "child": "son"}


def _lead(person: Entity, writer: Writer) -> list[str]:
    born, verb = date(person["born"]), "was" if "died" in person.facts else "is"
    what = f"{a(person['country']['demonym'])} {occupation(person)}"
    if "died" in person.facts:
        lead = writer.pick(
            f"{person.name} ({born} – {date(person['died'])}) was {what}",
            f"{person.name}, born on {born}, was {what} who died on {date(person['died'])}",
        )
    else:
        lead = writer.pick(f"{person.name} (born {born}) is {what}", f"{person.name}, born on {born}, is {what}")
    return [lead, *_fame(person, writer, verb)]


def _fame(person: Entity, writer: Writer, verb: str) -> list[str]:
    she = _she(person)
    if person.get("mountain") is not None:
        mountain = person["mountain"]
        return [f"{she['She']} made the first ascent of {full_name(mountain)} in {mountain['year']}"]
    if person.get("company") is not None:
        company = person["company"]
        name = writer.the(company) if company.article else f"the {company.kind} {writer.link(company)}"
        return [f"In {company['founded']} {she['she']} founded {name}"]
    if person["works"]:
        work = person["works"][-1]
        is_titled = work.kind in ("film", "opera", "painting", "novel")
        name = f"the {work.kind} {full_name(work)}" if is_titled else writer.the(work)
        known = writer.pick("best known for", "chiefly remembered for")
        return [f"{she['She']} {verb} {known} {name} ({work['year']})"]
    return []


def _life(person: Entity, writer: Writer) -> list[str]:
    she, town, surname = _she(person), full_name(person["birthplace"]), person.name.split()[-1]
    child = f"{she['child']} of {person['parent']}"
    sentences = [
        writer.pick(
            f"{she['She']} was born in {town}, the {child}",
            f"{surname} was born in {town} as the {child}",
            f"A native of {town}, {she['she']} was the {child}",
        )
    ]
    tempers = [form.format(**she) for form in writer.some(_TEMPERS[person.kind], 3)]
    if "university" in person.facts:
        university, subject, year = the_full_name(person["university"]), person["subject"], person["graduated"]
        sentences += tempers[2:] if writer.chance(0.3) else []
        sentences.append(
            writer.pick(
                f"{she['She']} studied {subject} at {university} and graduated in {year}",
                f"{surname} read {subject} at {university}, where {she['she']} graduated in {year}",
                f"After a few months as an apprentice {she['she']} studied {subject} at {university}, until {year}",
            )
        )
    sentences += tempers[:2]
    if "spouse" in person.facts:
        spouse, year = f"the {occupation(person['spouse'])} {full_name(person['spouse'])}", person["married"]
        sentences.append(
            writer.pick(
                f"In {year} {she['she']} married {spouse}",
                f"{she['She']} married {spouse} in {year}",
                f"{surname} and {spouse} were married in {year}",
            )
        )
    return sentences


def _work(person: Entity, writer: Writer) -> list[str]:
    she, sentences = _she(person), []
    if person["works"]:
        names = [f"{writer.the(work)} ({work['year']})" for work in person["works"]]
        noun = {"novelist": "novels", "composer": "operas", "film director": "films", "painter": "paintings"}
        what = noun.get(person.kind, "buildings")
        sentences.append(f"{she['Her']} {what} include {listed(names)}" if len(names) > 1 else "")
    if person.get("films"):
        names = [f"{full_name(film)} ({film['year']})" for film in person["films"]]
        did = "played the leading role in" if person.kind == "actor" else "wrote the music for"
        sentences.append(f"{she['She']} {did} {number(len(names))} film{'s' * (len(names) > 1)}: {listed(names)}")
    sentences += [
        f"In {orchestra['since']} {she['she']} became chief conductor of {writer.the(orchestra)}"
        for orchestra in person.get("orchestras") or ()
    ]
    if "prize" in person.facts:
        prize, year = full_name(person["prize"]), person["won"]
        sentences.append(
            writer.pick(
                f"{she['She']} received the {prize} in {year}",
                f"In {year} {she['she']} was awarded the {prize}",
                f"{she['She']} won the {prize} in {year}",
            )
        )
    if "named after" in person.facts:
        sentences.append(f"A prize, the {full_name(person['named after'])}, was later named after {she['her_object']}")
    return [sentence for sentence in sentences if sentence]


_REMARKS = {
    "university": (
        "Lectures were held in a former monastery until the present main building was ready",
        "Its library holds one and a half million volumes",
        "The observatory in the park is open to the public on clear nights",
        "Students elect a rector of their own every second year",
        "It has seven faculties, of which the medical one is the largest",
    ),
    "museum": (
        "Admission has been free since a bequest paid for the new roof",
        "The west wing, lit from above, was added for the large formats",
        "Its restoration workshop has an international reputation",
        "Most of the collection was given by merchants of the town",
    ),
    "orchestra": (
        "It gives some ninety concerts a year",
        "The strings play on instruments that belong to a foundation",
        "A strike of the brass section once silenced it for a whole season",
        "Its Sunday concerts for children have been broadcast for decades",
    ),
    "newspaper": (
        "It appears six days a week, with a literary supplement on Saturdays",
        "Two of its editors went to prison for refusing to name a source",
        "It was printed on the premises until the presses were moved to the outskirts",
        "Its crossword is feared",
    ),
    "football club": (
        "The colours are green and white",
        "It has won the national cup four times and the championship never",
        "The supporters sing before the match and, by custom, not during it",
        "Since its youth academy was opened, half of the team has come from the region",
    ),
    "publishing house": (
        "It made its name with cheap editions bound in blue cloth",
        "For three generations it stayed in the hands of the family",
        "The archive with the authors' letters survived two removals and a flood",
        "It publishes about sixty titles a year",
    ),
    "film studio": (
        "At its height it made thirty films a year",
        "Its lot on the edge of the town had an artificial lake",
        "The sound stages are used by television today",
        "The trademark, a swallow on a wire, was drawn by an office boy",
    ),
    "shipping company": (
        "Its steamers were painted grey with a yellow funnel",
        "The passenger service was given up when the last liner was sold",
        "It still carries grain and timber",
        "A model of its first ship stands in the entrance hall",
    ),
}


def write_organisation(organisation: Entity, writer: Writer) -> Paragraphs:
    """The article about an organisation."""
    town, year, kind = organisation["town"], organisation["founded"], organisation.kind
    name = f"The {organisation.name}" if organisation.article else organisation.name
    place = f"{full_name(town)}, {full_name(town['country'])}"
    what = "public university" if kind == "university" else "daily newspaper" if kind == "newspaper" else kind
    founder = f" by {full_name(organisation['founder'])}" if "founder" in organisation.facts else ""
    first = [
        f"{name} is {a(what)} {writer.pick('in', 'based in')} {place}",
        writer.pick(f"It was founded in {year}{founder}", f"Its foundation in {year} was the work of {founder[4:]}")
        if founder
        else writer.pick(f"It was founded in {year}", f"It was established in {year}"),
    ]
    remarks = writer.some(_REMARKS[kind], 3)
    special = _special(organisation, writer)
    return [part for part in ([*first, remarks[0]], remarks[1:], special) if part]


def _special(organisation: Entity, writer: Writer) -> list[str]:
    facts = organisation.facts
    if organisation.kind == "football club":
        return [f"Home matches are played at {facts['ground']}, which holds {facts['capacity']:,} spectators"]
    if organisation.kind == "orchestra":
        since, conductor = facts["since"], writer.link(facts["conductor"])
        return [
            writer.pick(
                f"In {since} the composer {conductor} became its chief conductor",
                f"Its chief conductor from {since} on was the composer {conductor}",
            )
        ]
    if facts.get("graduates"):
        names = [f"the {occupation(each)} {full_name(each)} ({each['graduated']})" for each in facts["graduates"][:6]]
        return [f"Its graduates include {listed(names)}"]
    if facts.get("works"):
        works = facts["works"][:6]
        noun = {"publishing house": "novels", "film studio": "films", "museum": "paintings"}[organisation.kind]
        names = [f"{full_name(work)} ({work['year']})" for work in works]
        intro = "Among the" if len(works) < len(facts["works"]) else "The"
        verb = "it owns" if noun == "paintings" else "it brought out" if noun == "novels" else "it produced"
        return [
            f"{intro} {noun} that {verb} are {listed(names)}"
            if len(names) > 1
            else f"{names[0]} is its best-known piece"
        ]
    return []


def write_prize(prize: Entity, writer: Writer) -> Paragraphs:
    """The article about a prize."""
    namesake, winners = prize["namesake"], prize["winners"]
    who = f"the {prize['occupation']} {writer.link(namesake)}"
    first = [
        f"The {prize.name} is a prize for {prize['field']} that is named after {who}",
        writer.pick(
            f"It is given by {writer.the(prize['giver'])} and was first awarded in {prize['first']}",
            f"First awarded in {prize['first']}, it is given by {writer.the(prize['giver'])}",
        ),
        writer.pick(
            "Winners receive a small sum and a bronze medal", "It consists of a medal and a year free of cares"
        ),
    ]
    names = [f"{full_name(winner)} ({winner['won']})" for winner in winners]
    second = [f"There have been several winners, among them {listed(names)}"] if len(names) > 1 else []
    second.append(f"The jury has {number(prize['first'] % 5 + 4)} members, who do not give their reasons")
    return [first, second]
