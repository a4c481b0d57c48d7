"""Corpora from files: a folder of texts in wiki markup, JSON lines, or the contexts of a HotpotQA file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus.corpus import Corpus
from spec_envs.search.corpus.pages import Page

__all__ = ["load_corpus", "page_from_markup", "read_json"]

_LINK = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]|]+))?\]\]")
_REDIRECT = re.compile(r"\s*#REDIRECT\s*\[\[([^\[\]|]+)\]\]\s*", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n\s*\n")
#: By these words a page says that it only lists meanings; ReAct's environment knows it by them, too.
_DISAMBIGUATION = "may refer to:"


def load_corpus(source: str | os.PathLike[str]) -> Corpus:
    """A corpus from ``source``.

    Args:
        source: One of

            - "embedded": the generated wiki of this package; made once in a process.
            - A folder of ``.txt`` files in UTF-8, one a page. The file's name, percent-decoded, is the title; blank
              lines separate paragraphs; ``[[Title]]`` and ``[[Title|shown]]`` are links; ``#REDIRECT [[Title]]`` alone
              makes the file a redirect.
            - A ``.jsonl`` file with an object a line: ``title`` with ``text`` (in that markup) or ``paragraphs`` (a
              list of plain texts, with ``links`` and ``disambiguation`` if you like), or with ``redirect``.
            - A HotpotQA file (``.json``) of the official release, whose questions' contexts are the pages.

    Raises:
        InvalidConfiguration: There is no such file or folder, or it holds something else; the message says where.
    """
    if source == "embedded":
        from spec_envs.search.world.embedded import embedded_corpus  # late: most of its size is data

        return embedded_corpus()
    wrong = InvalidConfiguration(f'a corpus is "embedded", a folder, a .jsonl or a .json file, and {source!r} is none')
    if not isinstance(source, str | os.PathLike):
        raise wrong
    path = Path(source)
    if path.is_dir():
        return _corpus(path, _folder(path))
    if path.suffix == ".jsonl" and path.is_file():
        return _corpus(path, _lines(path))
    if path.suffix == ".json" and path.is_file():
        return _corpus(path, _contexts(path))
    raise wrong


def page_from_markup(title: str, text: str) -> Page:
    """A page from wiki markup: paragraphs between blank lines, and links ``[[Title]]`` or ``[[Title|shown]]``."""
    links = dict.fromkeys(match[1].strip() for match in _LINK.finditer(text))
    plain = _LINK.sub(lambda match: match[2] or match[1], text)
    paragraphs = tuple(part.strip() for part in _BLANK_LINES.split(plain) if part.strip())
    return Page(title, paragraphs, tuple(links), any(_DISAMBIGUATION in paragraph for paragraph in paragraphs))


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InvalidConfiguration: It cannot be read; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidConfiguration(f"{path} cannot be read as JSON: {error}") from error


def _corpus(path: Path, entries: Iterator[Page | tuple[str, str]]) -> Corpus:
    """A corpus of pages and redirects (name, title)."""
    pages, redirects = [], {}
    for entry in entries:
        if isinstance(entry, Page):
            pages.append(entry)
        else:
            redirects[entry[0]] = entry[1]
    if not pages:
        raise InvalidConfiguration(f"{path} holds no page")
    return Corpus(pages, redirects)


def _folder(path: Path) -> Iterator[Page | tuple[str, str]]:
    for file in sorted(path.glob("*.txt")):
        title = unquote(file.stem)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InvalidConfiguration(f"{file} cannot be read as text: {error}") from error
        yield _from_markup(title, text)


def _lines(path: Path) -> Iterator[Page | tuple[str, str]]:
    with path.open("rb") as lines:  # as bytes, so that one that is no UTF-8 is named, too
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _entry(json.loads(line.decode("utf-8")))
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                raise InvalidConfiguration(
                    f'line {number} of {path} must be an object with "title" and "text", "paragraphs" or "redirect": '
                    f"{line.strip()[:100].decode('utf-8', 'replace')} ({error!r:.200})"
                ) from error


def _entry(entry: Any) -> Page | tuple[str, str]:
    title = _text(entry["title"])
    if "redirect" in entry:
        return title, _text(entry["redirect"])
    if "text" in entry:
        return _from_markup(title, _text(entry["text"]))
    paragraphs, links = _texts(entry["paragraphs"]), dict.fromkeys(_texts(entry.get("links", [])))
    listed = entry.get("disambiguation", any(_DISAMBIGUATION in paragraph for paragraph in paragraphs))
    if not isinstance(listed, bool):
        raise TypeError(f"disambiguation is true or false, not {listed!r}")
    return Page(title, paragraphs, tuple(links), listed)


def _from_markup(title: str, text: str) -> Page | tuple[str, str]:
    redirect = _REDIRECT.fullmatch(text)
    return (title, redirect[1].strip()) if redirect else page_from_markup(title, text)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):  # a text would be taken apart into letters
        raise TypeError(f"{value!r:.100} is not a list of texts")
    return tuple(map(_text, value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _contexts(path: Path) -> Iterator[Page]:
    """The paragraphs beside the questions of a HotpotQA file, each once."""
    seen = set()
    questions = read_json(path)
    if not isinstance(questions, list):
        raise InvalidConfiguration(f"{path} must hold a list of questions")
    for number, question in enumerate(questions):
        try:
            for title, sentences in question["context"]:
                if title not in seen:
                    seen.add(title)
                    yield Page(_text(title), ("".join(_texts(sentences)).strip(),))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidConfiguration(
                f'question {number} of {path} must have "context", a list of [title, [sentence, …]]: {error!r}'
            ) from error
