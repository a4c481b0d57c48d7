"""Wiki markup: paragraphs between blank lines, links in double brackets, and redirects."""

from __future__ import annotations

import re

from spec_envs.search.pages import Page

_LINK = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]|]+))?\]\]")
_REDIRECT = re.compile(r"\s*#REDIRECT\s*\[\[([^\[\]|]+)\]\]\s*", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n\s*\n")
#: ReAct's Wikipedia environment recognises disambiguation pages by the same words.
_DISAMBIGUATION = "may refer to:"


def page_from_markup(title: str, text: str) -> Page:
    """A page from wiki markup: paragraphs between blank lines, and links ``[[Title]]`` or ``[[Title|shown]]``."""
    links = dict.fromkeys(match[1].strip() for match in _LINK.finditer(text))
    plain = _LINK.sub(lambda match: match[2] or match[1], text)
    paragraphs = tuple(part.strip() for part in _BLANK_LINES.split(plain) if part.strip())
    return Page(title, paragraphs, tuple(links), lists_meanings(paragraphs))


def page_or_redirect(title: str, text: str) -> Page | tuple[str, str]:
    """The page that ``text`` describes, or the redirect ``(title, target)`` if the text is ``#REDIRECT [[target]]``."""
    redirect = _REDIRECT.fullmatch(text)
    return (title, redirect[1].strip()) if redirect else page_from_markup(title, text)


def lists_meanings(paragraphs: tuple[str, ...]) -> bool:
    """Whether a page with these paragraphs only lists what its title may refer to."""
    return any(_DISAMBIGUATION in paragraph for paragraph in paragraphs)
