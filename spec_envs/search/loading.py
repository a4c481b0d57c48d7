"""The backends, corpora and questions that ``SpecSearch-v0`` knows by name, or reads from files."""

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from spec_envs.checks import seed_and_size
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus import Corpus
from spec_envs.search.files import (
    PageOrRedirect,
    holds_questions,
    read_context_pages,
    read_folder,
    read_lines,
    read_questions,
)
from spec_envs.search.pages import Page
from spec_envs.search.questions import Question
from spec_envs.search.web.backends import BrowserBackend, HttpBackend
from spec_envs.search.world.entities import World
from spec_envs.search.world.generated import generated_world
from spec_envs.search.world.questions import make_questions
from spec_envs.search.world.wiki import make_wiki
from spec_envs.search.world.world import make_world

#: The seed of the embedded world.
SEED = 20240


@functools.cache
def _world() -> World:
    return make_world(SEED)


@functools.cache
def embedded_corpus() -> Corpus:
    """The wiki about the embedded world."""
    return make_wiki(_world(), SEED)


@functools.cache
def embedded_questions() -> tuple[Question, ...]:
    """The questions about the embedded world, in the order train, dev, test."""
    return make_questions(_world(), SEED, embedded_corpus())


_SPLITS = ("train", "dev", "test")


def load_corpus(source: str | os.PathLike[str], *, world_seed: int | None = None, size: int | None = None) -> Corpus:
    """Load a corpus.

    Args:
        source: One of

            - "embedded": the wiki that comes with the package; made once in a process.
            - "generated": the wiki about another world, which is generated from ``world_seed``.
            - A folder of ``.txt`` files in UTF-8, one for each page. The file's name, percent-decoded, is the title;
              blank lines separate paragraphs; ``[[Title]]`` and ``[[Title|shown]]`` are links; a file with nothing but
              ``#REDIRECT [[Title]]`` is a redirect.
            - A ``.jsonl`` file with one object on each line: ``title`` with ``text`` (in that markup) or
              ``paragraphs`` (a list of plain texts, optionally with ``links`` and ``disambiguation``), or with
              ``redirect``.
            - A HotpotQA file: ``.json`` of the official release, or ``.json`` or ``.jsonl`` as Hugging Face ships it.
              The contexts of its questions are the pages.
        world_seed: With "generated": the seed, at least 0 (default 0).
        size: With "generated": how many times as large as the embedded world, 1 (default) to 100.

    Raises:
        InvalidConfiguration: There is no such file or folder, or the content has another form; the message says where.
            Or ``world_seed`` or ``size`` is out of range, or was given for a corpus that is not generated.
    """
    if generated := seed_and_size(source, world_seed, size, name="world_seed"):
        return generated_world(*generated).corpus
    if source == "embedded":
        return embedded_corpus()
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            return _corpus(path, read_folder(path))
        if path.suffix in (".json", ".jsonl") and path.is_file():
            has_questions = path.suffix == ".json" or holds_questions(path)
            return _corpus(path, read_context_pages(path) if has_questions else read_lines(path))
        if not path.exists():
            raise InvalidConfiguration(f'corpus must be "embedded", "generated", a folder or file; there is no {path}')
    raise InvalidConfiguration(
        f'corpus must be "embedded", "generated", a folder, a .jsonl or .json file, or a Corpus, not {source!r}'
    )


def load_questions(
    source: str | os.PathLike[str],
    split: str | None = None,
    *,
    world_seed: int | None = None,
    size: int | None = None,
) -> tuple[Question, ...]:
    """Load questions.

    Args:
        source: "embedded" for the questions about the embedded world, "generated" for questions about a generated
            world, or a HotpotQA file: a list of objects with ``question``, ``answer`` and ``type``. ``_id`` (or
            ``id``) and ``supporting_facts`` are read as well. The files of Hugging Face are read, too.
        split: Which of the embedded or generated questions: "train", "dev", "test", or ``None`` for all. A file is a
            single split, so ``split`` has no effect on a file.
        world_seed: With "generated": as for ``load_corpus``.
        size: With "generated": as for ``load_corpus``.

    Raises:
        InvalidConfiguration: There is no such split, or the file cannot be read; the message says where. Or
            ``world_seed`` or ``size`` is out of range, or was given for questions that are not generated.
    """
    if split is not None and split not in _SPLITS:
        raise InvalidConfiguration(f"split must be one of {', '.join(_SPLITS)}, or None, not {split!r}")
    generated = seed_and_size(source, world_seed, size, name="world_seed")
    if generated or source == "embedded":
        questions = generated_world(*generated).questions if generated else embedded_questions()
        return questions if split is None else tuple(each for each in questions if each.id.startswith(f"{split}-"))
    path = Path(source)
    if path.suffix not in (".json", ".jsonl") or not path.is_file():
        raise InvalidConfiguration(
            f'questions must be "embedded", "generated" or an existing HotpotQA file (.json or .jsonl), '
            f"not {str(path)!r}"
        )
    return read_questions(path)


def check_questions(corpus: object, questions: Iterable[Question]) -> None:
    """Raise ``InvalidConfiguration`` if the questions name their pages and none of these pages is in ``corpus``.

    A backend that is not a ``Corpus`` is not checked, since its pages are not known.
    """
    titles = dict.fromkeys(title for question in questions for title in question.supporting)
    if isinstance(corpus, Corpus) and titles and all(corpus.find(title) is None for title in titles):
        raise InvalidConfiguration(
            f"the questions belong to another corpus: neither {next(iter(titles))!r} nor any other page that they need "
            "is in this one; give corpus and questions that belong together"
        )


def _corpus(path: Path, entries: Iterable[PageOrRedirect]) -> Corpus:
    pages: list[Page] = []
    redirects: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, Page):
            pages.append(entry)
        else:
            name, title = entry
            redirects[name] = title
    if not pages:
        raise InvalidConfiguration(f"{path} holds no page")
    return Corpus(pages, redirects)


def make_backend(
    backend: str | Callable[..., Any],
    *,
    corpus: str | os.PathLike[str] | Corpus,
    site: str | None,
    world_seed: int | None,
    size: int | None,
) -> tuple[Callable[..., Any], bool]:
    """The handler for the argument ``backend``, and whether it was made here, so that the caller has to close it.

    Raises:
        InvalidConfiguration: There is no such backend, or an argument belongs to another backend.
    """
    if corpus != "embedded" and backend != "corpus":
        raise InvalidConfiguration(f"corpus={corpus!r} needs backend='corpus', but backend is {backend!r}")
    if (site is None) == (backend in ("http", "browser")):
        wanted = "needs the address of a site: site='https://…'" if site is None else f"does not take site={site!r}"
        raise InvalidConfiguration(f"backend={backend!r} {wanted}")
    if backend == "corpus":
        if isinstance(corpus, Corpus):
            return corpus, False
        return load_corpus(corpus, world_seed=world_seed, size=size), False
    if backend == "http" and site is not None:
        return HttpBackend(site), True
    if backend == "browser" and site is not None:
        return BrowserBackend(site), True
    if not callable(backend):
        raise InvalidConfiguration(f'backend must be "corpus", "http", "browser" or a callable, not {backend!r}')
    return backend, False
