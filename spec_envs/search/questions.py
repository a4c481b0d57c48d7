"""Questions with their answers: the generated ones, and those of HotpotQA's files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.loading import read_json

__all__ = ["Question", "load_questions"]

_SPLITS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A question.

    Attributes:
        id: Its name; that of a generated one begins with its split, as in "test-12".
        text: The question.
        answer: The right answer.
        type: "bridge" (a page leads to the next) or "comparison" (two things are compared), as HotpotQA has it.
        supporting: Titles of the pages that the answer follows from, in the order in which they lead to each other;
            empty where that is not known.
    """

    id: str
    text: str
    answer: str
    type: str
    supporting: tuple[str, ...] = ()


def load_questions(source: str | os.PathLike[str], split: str | None = None) -> tuple[Question, ...]:
    """Questions from ``source``.

    Args:
        source: "embedded" for those about the generated wiki, or a HotpotQA file: a list of objects with ``question``,
            ``answer`` and ``type``; ``_id`` and ``supporting_facts``, as in the official release, are read as well.
        split: Of the generated ones: "train", "dev", "test", or ``None`` for all. A file is a split of its own.

    Raises:
        InvalidConfiguration: There is no such split, or the file cannot be read; the message says where.
    """
    if split is not None and split not in _SPLITS:
        raise InvalidConfiguration(f"split must be one of {', '.join(_SPLITS)}, or None, not {split!r}")
    if source == "embedded":
        from spec_envs.search.world.embedded import embedded_questions  # late: most of its size is data

        made = embedded_questions()
        return made if split is None else tuple(each for each in made if each.id.startswith(f"{split}-"))
    path = Path(source)
    if path.suffix != ".json" or not path.is_file():
        raise InvalidConfiguration(f'questions are "embedded" or a HotpotQA file (.json), and {str(path)!r} is neither')
    return tuple(_hotpotqa(path))


def _hotpotqa(path: Path) -> Iterator[Question]:
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise InvalidConfiguration(f"{path} must hold a list of questions")
    for number, entry in enumerate(entries):
        try:
            yield _question(number, entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidConfiguration(
                f'question {number} of {path} must be an object with the texts "question", "answer" and "type": '
                f"{error!r}"
            ) from error


def _question(number: int, entry: Any) -> Question:
    texts = entry["question"], entry["answer"], entry.get("type", "bridge")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{texts!r:.200}")
    titles = dict.fromkeys(str(title) for title, _ in entry.get("supporting_facts", ()))
    return Question(str(entry.get("_id", number)), *texts, supporting=tuple(titles))
