"""The wiki about the world: a page for each thing, pages that list the meanings of a name, and redirects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from spec_envs.draws import Draws
from spec_envs.search.corpus.corpus import Corpus
from spec_envs.search.corpus.markup import page_from_markup
from spec_envs.search.world.articles import about_organisations as institutions
from spec_envs.search.world.articles import about_places as geography
from spec_envs.search.world.articles import about_works as creations
from spec_envs.search.world.articles.about_people import write_person
from spec_envs.search.world.articles.prose import Paragraphs, Writer, occupation

if TYPE_CHECKING:
    from spec_envs.search.corpus.pages import Page
    from spec_envs.search.world.facts.entities import Thing, World

__all__ = ["make_wiki"]

_WRITE: dict[str, Callable[[Thing, Writer], Paragraphs]] = {
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
    """All pages about the world."""
    pages = [_page(thing, Writer(Draws("prose", seed, thing.title))) for thing in world.things]
    meanings = defaultdict(list)
    for thing in world.things:
        meanings[thing.name].append(thing)
    pages += [_disambiguation(name, things) for name, things in meanings.items() if len(things) > 1]
    aliases = Counter(alias for thing in world.things for alias in thing.aliases)
    redirects = {alias: thing.title for thing in world.things for alias in thing.aliases if aliases[alias] == 1}
    return Corpus(pages, redirects)


def _page(thing: Thing, writer: Writer) -> Page:
    paragraphs = _writer_of(thing)(thing, writer)
    return page_from_markup(thing.title, "\n\n".join(" ".join(f"{each}." for each in part) for part in paragraphs))


def _writer_of(thing: Thing) -> Callable[[Thing, Writer], Paragraphs]:
    if thing.is_person:
        return write_person
    if "architect" in thing.facts:
        return creations.write_building
    return _WRITE.get(thing.kind, institutions.write_organisation)


def _disambiguation(name: str, things: list[Thing]) -> Page:
    lines = "\n".join(f"[[{thing.title}]], {_told(thing)}" for thing in things)
    return page_from_markup(name, f"{name} may refer to:\n\n{lines}")


def _told(thing: Thing) -> str:
    """In a few words, what it is."""
    if thing.is_person:
        return f"{thing['country']['demonym']} {occupation(thing)}, born in {thing['born'][2]}"
    if "year" in thing.facts:
        return f"{thing.kind} of {thing['year']}"
    return thing.kind
