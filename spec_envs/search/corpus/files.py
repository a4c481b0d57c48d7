"""Pages and redirects from files: a folder of texts in wiki markup, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus.markup import lists_meanings, page_or_redirect
from spec_envs.search.json_files import text_of, texts_of
from spec_envs.search.pages import Page

#: A page, or a redirect as (name, title).
PageOrRedirect = Page | tuple[str, str]


def read_folder(folder: Path) -> Iterator[PageOrRedirect]:
    """A page or redirect from each ``.txt`` file; the file's name, percent-decoded, is the title.

    Raises:
        InvalidConfiguration: A file cannot be read as UTF-8 text.
    """
    for file in sorted(folder.glob("*.txt")):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InvalidConfiguration(f"{file} cannot be read as text: {error}") from error
        yield page_or_redirect(unquote(file.stem), text)


def read_lines(path: Path) -> Iterator[PageOrRedirect]:
    """A page or redirect from each line of JSON.

    Raises:
        InvalidConfiguration: A line is not an object that describes a page or a redirect; the message quotes the line.
    """
    with path.open("rb") as lines:  # as bytes, so that the message can also quote a line that is not UTF-8
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _page_or_redirect(json.loads(line.decode("utf-8")))
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                raise InvalidConfiguration(
                    f'line {number} of {path} must be an object with "title" and "text", "paragraphs" or "redirect": '
                    f"{line.strip()[:100].decode('utf-8', 'replace')} ({error!r:.200})"
                ) from error


def _page_or_redirect(entry: Any) -> PageOrRedirect:
    title = text_of(entry["title"])
    if "redirect" in entry:
        return title, text_of(entry["redirect"])
    if "text" in entry:
        return page_or_redirect(title, text_of(entry["text"]))
    paragraphs, links = texts_of(entry["paragraphs"]), dict.fromkeys(texts_of(entry.get("links", [])))
    disambiguation = entry.get("disambiguation", lists_meanings(paragraphs))
    if not isinstance(disambiguation, bool):
        raise TypeError(f"disambiguation must be true or false, not {disambiguation!r}")
    return Page(title, paragraphs, tuple(links), disambiguation)
