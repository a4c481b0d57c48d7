"""The words of docs/glossary.md name what is in the code, and words that were given up stay out."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from tests.sources import ROOT, SOURCES

PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(spec_envs\.[\w.]+)`", PAGE)))

#: A pattern that no source may match -> the folder where that holds, and the word to use.
GIVEN_UP = {
    r"\bAsk\(|\bclass Ask\b|\bAsking\b": ("", "Predict: only environments ask"),
    r"\bUnask\b": ("", "StopPredicting"),
    r"\bnot_asked\b": ("", "not_predicted"),
    r"\bBuiltinGuesser\b|\bBuiltinPolicy\b|\bRandomPolicy\b|\bRecordedGuesser\b": ("", "with Chess in the name"),
    r"\bplaces? (is|are) (held|free)\b|\bfree places?\b|\bkeeps its place\b": ("wrappers/", "slot"),
    r"\b(keep|take|hold)s? a place\b": ("wrappers/", "slot"),
}


def look_up(name: str) -> Any:
    """The object with a dotted name: of the longest module in the name, and attributes of it."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_exists(name):
    assert look_up(name) is not None


def test_every_word_has_one_row_and_a_name():
    rows = [row.strip("| ").split(" | ") for row in PAGE.splitlines() if row.startswith("| ")][2:]
    assert all(len(row) == 3 and "`spec_envs." in row[2] for row in rows)
    assert len({row[0] for row in rows}) == len(rows) >= 30


@pytest.mark.parametrize("pattern", GIVEN_UP)
def test_a_word_that_was_given_up_stays_out(pattern):
    folder, word = GIVEN_UP[pattern]
    sources = {name: path for name, path in SOURCES.items() if name.startswith(folder)}
    found = [name for name, path in sources.items() if re.search(pattern, path.read_text(encoding="utf-8"))]
    assert found == [], f"the word is: {word}"


def test_the_files_that_the_design_names_exist():
    names = set(re.findall(r"`([\w/]+\.py)`", DESIGN))
    wanting = {name for name in names if not any(f"/{source}".endswith(f"/{name}") for source in SOURCES)}
    assert len(names) > 20 and {name for name in wanting if not (ROOT / name).exists() and not _is_test(name)} == set()


def _is_test(name: str) -> bool:
    return any(path.as_posix().endswith(name) for path in (ROOT / "tests").rglob("test_*.py"))
