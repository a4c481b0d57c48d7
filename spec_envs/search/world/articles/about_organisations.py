"""The articles about organisations and prizes."""

from __future__ import annotations

from spec_envs.search.world.articles.prose import Paragraphs, Writer, a, full_name, listed, number, occupation
from spec_envs.search.world.facts.entities import Entity

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
