"""Files of pages (a folder of texts in wiki markup, or JSON lines), and HotpotQA's files (arXiv 1809.09600)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus import lists_meanings, page_or_redirect
from spec_envs.search.json_files import read_json, text_of, texts_of
from spec_envs.search.pages import Page
from spec_envs.search.questions import Question

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


T = TypeVar("T")


def read_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a file, which is a list of objects with ``question``, ``answer`` and ``type``.

    Raises:
        InvalidConfiguration: The file is not such a list, or the list is empty; the message names the entry.
    """
    expected = 'be an object with the texts "question", "answer" and "type"'
    questions = tuple(_each(path, lambda number, entry: [_question(number, entry)], expected))
    if not questions:
        raise InvalidConfiguration(f"{path} must hold a list of questions")
    return questions


def read_context_pages(path: Path) -> Iterator[Page]:
    """The pages that the questions of a file have as context, each once.

    Raises:
        InvalidConfiguration: The file is not a list of questions with contexts; the message names the entry.
    """
    seen: set[str] = set()
    for page in _each(path, lambda _, entry: _context(entry), 'have "context", a list of [title, [sentence, …]]'):
        if page.title not in seen:
            seen.add(page.title)
            yield page


def _each(path: Path, read: Callable[[int, Any], list[T]], expected: str) -> Iterator[T]:
    """What ``read`` makes of each entry of the list in a file; ``expected`` completes "question 3 of FILE must …"."""
    entries = read_json(path)
    if not isinstance(entries, list):
        raise InvalidConfiguration(f"{path} must hold a list of questions")
    for number, entry in enumerate(entries):
        try:
            yield from read(number, entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidConfiguration(f"question {number} of {path} must {expected}: {error!r}") from error


def _question(number: int, entry: Any) -> Question:
    texts = entry["question"], entry["answer"], entry.get("type", "bridge")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{texts!r:.200}")
    titles = dict.fromkeys(str(title) for title, _ in entry.get("supporting_facts", ()))
    return Question(str(entry.get("_id", number)), *texts, supporting=tuple(titles))


def _context(entry: Any) -> list[Page]:
    return [Page(text_of(title), ("".join(texts_of(sentences)).strip(),)) for title, sentences in entry["context"]]
