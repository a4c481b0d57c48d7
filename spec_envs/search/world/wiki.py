"""The wiki about the world: an article for each entity, disambiguation pages, and redirects."""

from collections import Counter, defaultdict
from collections.abc import Callable

from spec_envs.draws import Draws
from spec_envs.search.corpus import Corpus, page_from_markup
from spec_envs.search.pages import Page
from spec_envs.search.world import about_people, about_places
from spec_envs.search.world.entities import Entity, World
from spec_envs.search.world.prose import Paragraphs, Writer, occupation

_WRITE: dict[str, Callable[[Entity, Writer], Paragraphs]] = {
    "country": about_places.write_country,
    "sea": about_places.write_sea,
    "mountain": about_places.write_mountain,
    "river": about_places.write_river,
    "town": about_places.write_town,
    "novel": about_places.write_novel,
    "film": about_places.write_film,
    "opera": about_places.write_opera,
    "painting": about_places.write_painting,
    "prize": about_people.write_prize,
}


def make_wiki(world: World, seed: int | str) -> Corpus:
    """The corpus of all pages about the world."""
    pages = [_page(entity, Writer(Draws("prose", seed, entity.title))) for entity in world.entities]
    meanings = defaultdict(list)
    for entity in world.entities:
        meanings[entity.name].append(entity)
    pages += [_disambiguation(name, entities) for name, entities in meanings.items() if len(entities) > 1]
    aliases = Counter(alias for entity in world.entities for alias in entity.aliases)
    redirects = {alias: entity.title for entity in world.entities for alias in entity.aliases if aliases[alias] == 1}
    return Corpus(pages, redirects)


def _page(entity: Entity, writer: Writer) -> Page:
    paragraphs = _writer_of(entity)(entity, writer)
    return page_from_markup(entity.title, "\n\n".join(" ".join(f"{each}." for each in part) for part in paragraphs))


def _writer_of(entity: Entity) -> Callable[[Entity, Writer], Paragraphs]:
    if entity.is_person:
        return about_people.write_person
    if "architect" in entity.facts:
        return about_places.write_building
    return _WRITE.get(entity.kind, about_people.write_organisation)


def _disambiguation(name: str, entities: list[Entity]) -> Page:
    lines = "\n".join(f"[[{entity.title}]], {_told(entity)}" for entity in entities)
    return page_from_markup(name, f"{name} may refer to:\n\n{lines}")


def _told(entity: Entity) -> str:
    """A description of the entity in a few words."""
    if entity.is_person:
        return f"{entity['country']['demonym']} {occupation(entity)}, born in {entity['born'][2]}"
    if "year" in entity.facts:
        return f"{entity.kind} of {entity['year']}"
    return entity.kind
