"""HotpotQA's files (arXiv 1809.09600): the questions, and the pages that the questions have as context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.json_files import read_json, text_of, texts_of
from spec_envs.search.pages import Page
from spec_envs.search.questions import Question

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
