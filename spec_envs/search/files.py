"""Files of pages (a folder of texts in wiki markup, or JSON lines), and HotpotQA's files (arXiv 1809.09600)."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from spec_envs.errors import InvalidConfiguration
from spec_envs.json_files import list_of, naming, parsed, read_json, text_of, texts_of
from spec_envs.search.corpus import lists_meanings, page_or_redirect
from spec_envs.search.pages import Page
from spec_envs.search.questions import Question

#: A page, or a redirect as (name, title).
PageOrRedirect = Page | tuple[str, str]


def read_folder(folder: Path) -> Iterator[PageOrRedirect]:
    """A page or redirect from each ``.txt`` file, whose name, percent-decoded, is the title."""
    for file in sorted(folder.glob("*.txt")):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InvalidConfiguration(f"{file} cannot be read as text: {error}") from error
        yield page_or_redirect(unquote(file.stem), text)


def read_lines(path: Path) -> Iterator[PageOrRedirect]:
    """A page or redirect from each line of JSON; ``InvalidConfiguration`` quotes a line that describes neither."""
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
    title = text_of(entry["title"], "title")
    if "redirect" in entry:
        return title, text_of(entry["redirect"], "redirect")
    if "text" in entry:
        return page_or_redirect(title, text_of(entry["text"], "text"))
    paragraphs, links = (
        texts_of(entry["paragraphs"], "paragraphs"),
        dict.fromkeys(texts_of(entry.get("links", []), "links")),
    )
    disambiguation = entry.get("disambiguation", lists_meanings(paragraphs))
    if not isinstance(disambiguation, bool):
        raise TypeError(f"disambiguation must be true or false, not {disambiguation!r}")
    return Page(title, paragraphs, tuple(links), disambiguation)


def read_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a file of HotpotQA; ``InvalidConfiguration`` names an entry of another form."""
    questions = []
    for number, entry in enumerate(_entries(path)):
        with naming(f'question {number} of {path} must be an object with "question", "answer" and "type"'):
            texts = (text_of(entry["question"], "question"), text_of(entry["answer"], "answer"))
            kind = text_of(entry.get("type", "bridge"), "type")
            titles = dict.fromkeys(str(title) for title, _ in _pairs(entry.get("supporting_facts", ()), "sent_id"))
            identity = str(entry.get("_id", entry.get("id", number)))
            questions.append(Question(identity, *texts, kind, supporting=tuple(titles)))
    if not questions:
        raise InvalidConfiguration(f"{path} must hold a list of questions")
    return tuple(questions)


def read_context_pages(path: Path) -> Iterator[Page]:
    """The pages that a file's questions have as context, each once; ``InvalidConfiguration`` names a wrong entry."""
    seen: set[str] = set()
    for number, entry in enumerate(_entries(path)):
        with naming(f'question {number} of {path} must have "context", a list of [title, [sentence, …]]'):
            pages = [
                Page(text_of(title, "title"), ("".join(texts_of(sentences, "sentences")).strip(),))
                for title, sentences in _pairs(entry["context"], "sentences")
            ]
        for page in pages:
            if page.title not in seen:
                seen.add(page.title)
                yield page


def holds_questions(path: Path) -> bool:
    """Whether the first line of a file of JSON lines is a question with its context."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        first = parsed(next(filter(str.strip, lines), ""))
    return isinstance(first, dict) and "context" in first and "title" not in first


def _entries(path: Path) -> list[Any]:
    """The questions in a file: a list, or as Hugging Face ships them (JSON lines, rows, or a list for each column)."""
    entries = read_json(path, lines=True)
    if isinstance(entries, dict) and isinstance(entries.get("rows"), list):
        entries = [row.get("row", row) if isinstance(row, dict) else row for row in entries["rows"]]
    elif isinstance(entries, dict) and entries and all(isinstance(column, list) for column in entries.values()):
        with naming(str(path)):
            entries = [dict(zip(entries, row, strict=True)) for row in zip(*entries.values(), strict=True)]
    elif isinstance(entries, dict) and "question" in entries:  # a file of one line
        entries = [entries]
    if not isinstance(entries, list):
        raise InvalidConfiguration(f"{path} must hold a list of questions")
    return entries


def _pairs(value: Any, second: str) -> Iterable[Any]:
    """``value`` as pairs of a title and something: a list of pairs or of objects, or an object with two lists."""
    if isinstance(value, dict):
        titles, others = list_of(value["title"], "title"), list_of(value[second], second)
        return zip(titles, others, strict=True)
    return [(each["title"], each[second]) if isinstance(each, dict) else each for each in value]
