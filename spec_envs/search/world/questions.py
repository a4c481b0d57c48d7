"""Questions about a world that take two to four pages to answer: along a chain of facts, or by comparison."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from spec_envs.draws import Draws
from spec_envs.search.corpus import Corpus
from spec_envs.search.questions import Question
from spec_envs.search.world.entities import Entity, World
from spec_envs.search.world.prose import date

#: How to refer to an entity by its relation to another entity.
REFERRED: dict[str, tuple[str, ...]] = {
    "author": ("the author of {}", "the writer of {}", "the person who wrote {}"),
    "director": ("the director of {}", "the person who directed {}"),
    "star": ("the star of {}", "the person who played the leading role in {}"),
    "score": ("the person who wrote the music for {}", "the composer of the music for {}"),
    "basis": ("the novel on which {} is based", "the novel from which {} was adapted", "the literary source of {}"),
    "composer": ("the composer of {}", "the person who composed {}"),
    "painter": ("the painter of {}", "the artist who painted {}"),
    "architect": ("the architect of {}", "the person who designed {}"),
    "publisher": ("the publisher of {}", "the publishing house that published {}"),
    "studio": ("the film studio that produced {}", "the studio behind {}"),
    "founder": ("the founder of {}", "the person who founded {}"),
    "birthplace": ("the birthplace of {}", "the town where {} was born", "the town in which {} was born"),
    "university": ("the university that {} attended", "the university where {} studied", "the alma mater of {}"),
    "spouse": ("the spouse of {}", "the person whom {} married"),
    "town": ("the town in which {} is located", "the town where {} is to be found", "the town that is home to {}"),
    "museum": ("the museum that owns {}", "the museum in which {} hangs"),
    "premiere": ("the town where {} was first performed", "the town that saw the first performance of {}"),
    "setting": (
        "the town in which {} is set",
        "the town where the story of {} takes place",
        "the town that is the setting of {}",
    ),
    "river": ("the river on which {} lies", "the river that flows through {}"),
    "country": ("the country in which {} lies", "the country that {} belongs to"),
    "source": (
        "the mountain on which {} rises",
        "the mountain where {} has its source",
        "the mountain that is the source of {}",
    ),
    "climber": ("the first person to climb {}", "the mountaineer who first climbed {}"),
    "namesake": ("the person after whom {} is named", "the namesake of {}"),
    "prize": ("the prize that {} received", "the prize that was awarded to {}"),
}

#: How to ask for a fact about an entity.
ASKED: dict[str, tuple[str, ...]] = {
    "birthplace": ("In which town was {} born?", "Where was {} born?", "What is the birthplace of {}?"),
    "born": ("When was {} born?", "What is the date of birth of {}?"),
    "university": (
        "Which university did {} attend?",
        "At which university did {} study?",
        "Which university was attended by {}?",
    ),
    "spouse": ("Whom did {} marry?", "Who was the spouse of {}?"),
    "prize": ("Which prize did {} receive?", "Which prize was awarded to {}?"),
    "nationality": ("What was the nationality of {}?",),
    "author": ("Who wrote {}?", "Who is the author of {}?"),
    "publisher": ("Which publishing house published {}?", "Who published {}?"),
    "setting": ("In which town is {} set?", "Which town is the setting of {}?"),
    "year": ("In which year was {} published?", "What is the year of publication of {}?"),
    "founder": ("Who founded {}?", "Who was the founder of {}?"),
    "founded": ("In which year was {} founded?", "When was {} founded?", "What is the founding year of {}?"),
    "town": ("In which town is {} based?", "Which town is the seat of {}?"),
    "population": (
        "How many inhabitants did {} have in 2011?",
        "What was the population of {} in 2011?",
        "What was the population in 2011 of {}?",
    ),
    "river": ("On which river does {} lie?", "Which river flows through {}?"),
    "country": ("In which country does {} lie?", "Which country includes {}?"),
    "mouth": (
        "Into which sea does {} flow?",
        "Into which body of water does {} empty?",
        "Which sea receives the waters of {}?",
    ),
    "length": ("How long is {}?", "What is the length of {}?"),
    "height": ("How high is {}?", "What is the height of {}?"),
    "climber": ("Who was the first person to climb {}?", "Who made the first ascent of {}?"),
    "capital": ("What is the capital of {}?",),
    "currency": ("What is the currency of {}?",),
    "language": ("What is the official language of {}?",),
    "first": ("In which year was {} first awarded?",),
}


#: How many questions about the embedded world there are in each split.
SPLITS = {"train": 200, "dev": 80, "test": 120}

#: Kinds of questions, which the questions take in turn: "two hops" to "four hops", "comparison", "negation".
Mixture = tuple[str, ...]

#: The kinds of each ten questions about the embedded world.
MIXTURE: Mixture = ("two hops",) * 4 + ("three hops",) * 3 + ("comparison",) * 3

#: By the kind of the first entity: the relations along a chain, the last of which the question asks for.
_CHAINS = {
    "novel": """
        author birthplace; author born; author university; author spouse; author prize; author nationality;
        publisher founder; publisher town; setting population; setting river; setting country;
        author birthplace population; author birthplace river; author university founded; author spouse born;
        author spouse birthplace; publisher founder born; author prize first; setting river mouth""",
    "film": """
        director birthplace; director born; director university; director prize; star birthplace; star born;
        star spouse; score university; score birthplace; basis author; basis publisher; basis setting; basis year;
        studio founder; studio founded; basis author birthplace; basis author born; basis author university;
        director birthplace river; basis publisher founder; director birthplace population;
        director university founded; star spouse born; studio founder birthplace; basis setting river""",
    "opera": """
        composer birthplace; composer born; composer university; composer spouse; premiere population; premiere river;
        composer university founded; premiere river mouth; composer birthplace country""",
    "painting": """
        painter birthplace; painter born; painter university; museum founded; painter birthplace river;
        painter university founded""",
    "building": """
        architect birthplace; architect university; architect spouse; town population; town river;
        architect birthplace population; architect spouse birthplace; town river length""",
    "person": """
        birthplace population; birthplace river; university founded; spouse birthplace; spouse born;
        birthplace river mouth; birthplace country currency; birthplace river length; spouse birthplace river""",
    "mountain": "climber birthplace; climber spouse; climber university; climber birthplace population",
    "river": "source height; source climber; source climber birthplace",
    "town": "river mouth; river length; country capital; country language; river source height; river source climber",
    "prize": "namesake birthplace; namesake born; namesake birthplace river",
}
#: Longer chains.
_FOUR_HOPS = {
    "novel": """
        author birthplace river mouth; author birthplace country currency; author university town river;
        author spouse birthplace river; author prize namesake birthplace; publisher founder birthplace population;
        setting river source climber""",
    "film": """
        basis author birthplace river; basis author university founded; basis publisher founder birthplace;
        basis setting river mouth; director birthplace river length; director prize namesake born;
        star spouse birthplace population; studio founder birthplace river""",
    "opera": """
        composer university town population; composer birthplace river length; premiere river source climber;
        composer spouse birthplace river""",
    "painting": "painter university town river; painter birthplace river mouth; museum town river length",
    "building": """
        architect university town population; architect spouse birthplace river; town river source climber""",
    "person": """
        birthplace river source climber; spouse birthplace river mouth; university town river length;
        spouse birthplace country language""",
    "mountain": "climber spouse birthplace population; climber birthplace river length",
    "prize": "namesake birthplace river mouth; namesake spouse birthplace population",
}
#: Questions for the one of two things that lacks a fact: the kind of things, the question, and the relation.
_NEGATIONS = (
    ("person", "Who was not born in {fact}, {one} or {other}?", "birthplace"),
    ("person", "Who did not study at the {fact}, {one} or {other}?", "university"),
    ("town", "Which town does not lie on the {fact}, {one} or {other}?", "river"),
    ("novel", "Which novel was not written by {fact}, {one} or {other}?", "author"),
    ("film", "In which film did {fact} not play the leading role, {one} or {other}?", "star"),
)
#: How questions name entities of these kinds; other entities are named by their names alone.
_NAMED = {kind: f"the {kind} {{}}" for kind in ("novel", "film", "opera", "painting")}

#: The words of phrases behind their gap.
_ENDS = tuple(
    dict.fromkeys(end for forms in REFERRED.values() for form in forms if (end := form.partition("{}")[2]) != "")
)
_YEARS = {"film": "released", "novel": "published"}
#: The kinds of which two things are compared.
_COMPARED = ("film", "novel", "opera", "painting", "river", "mountain", "town", "university", "orchestra")


def make_questions(
    world: World,
    seed: int | str,
    corpus: Corpus,
    *,
    sizes: Mapping[str, int] = MappingProxyType(SPLITS),
    mixture: Mixture = MIXTURE,
) -> tuple[Question, ...]:
    """All questions about the world, split by split. Each was checked: its pages lead to its answer.

    Args:
        world: The world.
        seed: Seeds everything that is drawn.
        corpus: The wiki about the world.
        sizes: How many questions there are in each split.
        mixture: Their kinds, which they take in turn.
    """
    asker = _Asker(world, Draws("questions", seed))
    makers: dict[str, Callable[[], Question | None]] = {
        "two hops": lambda: asker.chain(2),
        "three hops": lambda: asker.chain(3),
        "four hops": lambda: asker.chain(4),
        "comparison": asker.comparison,
        "negation": asker.negation,
    }
    ids = [f"{split}-{number}" for split, count in sizes.items() for number in range(count)]
    drafts: dict[str, Question] = {}
    for kind in itertools.cycle(mixture):
        if len(drafts) == len(ids):
            break
        made: Question | None = None
        while made is None or made.text in drafts or not _is_answered(made, corpus):
            made = makers[kind]()
        drafts[made.text] = made
    return tuple(dataclasses.replace(made, id=name) for name, made in zip(ids, drafts.values(), strict=True))


def _is_answered(question: Question, corpus: Corpus) -> bool:
    """Whether all supporting pages are found, and those of a chain link to each other and end with the answer."""
    pages = [page for title in question.supporting if (page := corpus.find(title)) is not None]
    if [page.title for page in pages] != list(question.supporting):
        return False
    linked = all(after.title in page.links for page, after in itertools.pairwise(pages))
    told = any(question.answer in paragraph for paragraph in pages[-1].paragraphs)
    return question.type != "bridge" or (linked and told)


class _Asker:
    """Draws questions, without ids. The methods return ``None`` if the draw does not make a question."""

    def __init__(self, world: World, draws: Draws) -> None:
        self._draws = draws
        self._starts = {kind: [entity for entity in world.entities if _is_a(entity, kind)] for kind in _CHAINS}
        self._of = {kind: world.of(kind) for kind in _COMPARED}
        chains = [
            (kind, path.split())
            for listed in (_CHAINS, _FOUR_HOPS)
            for kind, paths in listed.items()
            for path in paths.split(";")
        ]
        self._chains = {hops: [chain for chain in chains if len(chain[1]) == hops] for hops in (2, 3, 4)}

    def chain(self, hops: int) -> Question | None:
        """A question for a fact about the last entity of a chain."""
        kind, path = self._draws.pick(self._chains[hops])
        entity: Any = self._draws.pick(self._starts[kind])
        along, phrase = [entity], self._named(entity)
        for relation in path[:-1]:
            entity = entity.get(relation)
            if entity is None:
                return None
            along.append(entity)
            phrase = self._phrase(REFERRED[relation], phrase)
        answer = _answer(entity, path[-1])
        if answer is None or len(set(along)) < len(along):
            return None
        return Question(
            "", self._phrase(ASKED[path[-1]], phrase), answer, "bridge", tuple(each.title for each in along)
        )

    def _phrase(self, forms: tuple[str, ...], phrase: str) -> str:
        """Put ``phrase`` into one of the forms. At most one form in a question may go on after its gap."""
        open_ended = [form for form in forms if form.rstrip("?").endswith("{}")]
        nested = any(end in phrase for end in _ENDS)
        return self._draws.pick(open_ended if nested and open_ended else forms).format(phrase)

    def comparison(self) -> Question:
        """A question that compares two entities of the same kind."""
        make: Callable[[], Question | None] = self._draws.pick(
            (self.births, self.nationalities, self.years, self.makers_births, self.makers_universities, self.numbers)
        )
        made = None
        while made is None:
            made = make()
        return made

    def negation(self) -> Question | None:
        """A question for the one of two things that does not have a fact which the other has."""
        kind, form, relation = self._draws.pick(_NEGATIONS)
        one, other = self._two(self._starts[kind])
        first, second = one.get(relation), other.get(relation)
        # Names are compared, since a question says no more of a fact than its name.
        if first is None or second is None or first.name == second.name or one.name == other.name:
            return None
        has, lacks = self._draws.shuffled((one, other))
        text = form.format(fact=has[relation].name, one=self._named(one), other=self._named(other))
        return Question("", text, lacks.name, "comparison", (one.title, other.title))

    def births(self) -> Question | None:
        one, other = self._two(self._starts["person"])
        form = self._draws.pick(("Who was born first, {} or {}?", "Which of the two was born earlier, {} or {}?"))
        return self._first(form, one, other, lambda entity: entity["born"][2])

    def years(self) -> Question | None:
        kind = self._draws.pick(("film", "novel"))
        one, other = self._two(self._of[kind])
        form = self._draws.pick(
            (f"Which {kind} was {_YEARS[kind]} first, {{}} or {{}}?", f"Which {kind} came out earlier, {{}} or {{}}?")
        )
        return self._first(form, one, other, lambda entity: entity["year"])

    def makers_births(self) -> Question | None:
        kind, role = self._draws.pick((("film", "director"), ("novel", "author"), ("opera", "composer")))
        one, other = self._two(self._of[kind])
        form = f"Which {kind} has the {role} who was born first, {{}} or {{}}?"
        return self._first(form, one, other, lambda entity: entity[role]["born"][2], role)

    def numbers(self) -> Question | None:
        kind, form, relation, sign = self._draws.pick(
            (
                ("river", "Which river is longer, {} or {}?", "length", -1),
                ("mountain", "Which mountain is higher, {} or {}?", "height", -1),
                ("town", "Which town had more inhabitants in 2011, {} or {}?", "population", -1),
                ("university", "Which university is older, {} or {}?", "founded", 1),
                ("orchestra", "Which orchestra was founded first, {} or {}?", "founded", 1),
            )
        )
        one, other = self._two(self._of[kind])
        return self._first(form, one, other, lambda entity: sign * entity[relation])

    def nationalities(self) -> Question | None:
        one, other = self._two(self._starts["person"])
        form = self._draws.pick(("Are {} and {} of the same nationality?", "Do {} and {} have the same nationality?"))
        same = one["country"] is other["country"]
        if not same and self._draws.chance(0.8):  # otherwise nearly all answers would be "no"
            return None
        return self._compared(form, one, other, "yes" if same else "no")

    def makers_universities(self) -> Question | None:
        kind, role = self._draws.pick((("film", "director"), ("novel", "author"), ("painting", "painter")))
        one, other = self._two(self._of[kind])
        makers = one[role], other[role]
        studied = [maker.get("university") for maker in makers]
        same = studied[0] is studied[1]
        if None in studied or makers[0] is makers[1] or (not same and self._draws.chance(0.8)):
            return None
        form = f"Did the {role} of {{}} and the {role} of {{}} study at the same university?"
        return self._compared(form, one, other, "yes" if same else "no", role)

    def _two(self, entities: list[Entity]) -> tuple[Entity, Entity]:
        one, other = self._draws.pick(entities), self._draws.pick(entities)
        return one, other

    def _first(
        self, form: str, one: Entity, other: Entity, key: Callable[[Entity], int], role: str | None = None
    ) -> Question | None:
        if key(one) == key(other):
            return None
        return self._compared(form, one, other, min(one, other, key=key).name, role)

    def _compared(self, form: str, one: Entity, other: Entity, answer: str, role: str | None = None) -> Question | None:
        """A question about the two entities; with ``role``, about the people who have this role in them."""
        along = (one, other) if role is None else (one, one[role], other, other[role])
        titles = tuple(entity.title for entity in along)
        if one.name == other.name or len(set(titles)) < len(titles):
            return None
        return Question("", form.format(self._named(one), self._named(other)), answer, "comparison", titles)

    def _named(self, entity: Entity) -> str:
        if entity.is_person and entity.title != entity.name:
            return f"the {entity.kind} {entity.name}"
        name = f"the {entity.name}" if entity.article else entity.name
        return _NAMED.get(entity.kind, "{}").format(name)


def _is_a(entity: Entity, kind: str) -> bool:
    if kind == "person":
        return entity.is_person
    return "architect" in entity.facts if kind == "building" else entity.kind == kind


def _answer(entity: Entity, relation: str) -> str | None:
    """A fact in the form of an answer; ``None`` if there is no such fact."""
    if relation == "nationality":
        return str(entity["country"]["demonym"])
    fact = entity.get(relation)
    if relation == "born":
        return date(fact)
    if relation == "length":
        return f"{fact} kilometres"
    if relation == "height":
        return f"{fact:,} metres"
    if isinstance(fact, int):
        return f"{fact:,}" if relation == "population" else str(fact)
    return fact.name if isinstance(fact, Entity) else fact
