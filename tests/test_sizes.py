"""How long modules and functions may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.sources import SOURCES

MOST_LINES_OF_A_MODULE = 450
MOST_LINES_OF_A_BODY = 50
MEDIAN_LINES_OF_A_MODULE = 130

LINES = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in SOURCES.items()}


def bodies_of(path: Path) -> Iterator[tuple[str, int]]:
    """The name of each function in a file, and how many lines its body has, without the docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if statements:
                yield node.name, (statements[-1].end_lineno or 0) - statements[0].lineno + 1


def test_half_of_the_modules_are_short():
    assert median(LINES.values()) <= MEDIAN_LINES_OF_A_MODULE


def test_no_module_is_long():
    assert {name: lines for name, lines in LINES.items() if lines > MOST_LINES_OF_A_MODULE} == {}


def test_no_function_is_long():
    bodies = [(name, *body) for name, path in SOURCES.items() for body in bodies_of(path)]
    assert [body for body in bodies if body[-1] > MOST_LINES_OF_A_BODY] == []
