"""The wiki about the world: an article for each entity, disambiguation pages, and redirects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from spec_envs.draws import Draws
from spec_envs.search.corpus.corpus import Corpus
from spec_envs.search.corpus.markup import page_from_markup
from spec_envs.search.pages import Page
from spec_envs.search.world.articles import about_organisations as institutions
from spec_envs.search.world.articles import about_places as geography
from spec_envs.search.world.articles import about_works as creations
from spec_envs.search.world.articles.about_people import write_person
from spec_envs.search.world.articles.prose import Paragraphs, Writer, occupation
from spec_envs.search.world.facts.entities import Entity, World

_WRITE: dict[str, Callable[[Entity, Writer], Paragraphs]] = {
    "country": geography.write_country,
    "sea": geography.write_sea,
    "mountain": geography.write_mountain,
    "river": geography.write_river,
    "town": geography.write_town,
    "novel": creations.write_novel,
    "film": creations.write_film,
    "opera": creations.write_opera,
    "painting": creations.write_painting,
    "prize": institutions.write_prize,
}


def make_wiki(world: World, seed: int) -> Corpus:
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
        return write_person
    if "architect" in entity.facts:
        return creations.write_building
    return _WRITE.get(entity.kind, institutions.write_organisation)


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
