"""Editors and type checkers, which run nothing, find the definition behind each public name in the checkout."""

from __future__ import annotations

import ast
import os
from importlib import import_module

import jedi
import pytest

from tests.sources import ROOT
from tests.test_docs import code_of

PROJECT = jedi.Project(ROOT)
PACKAGES = ("spec_envs", *(f"spec_envs.{name}" for name in ("agents", "wrappers")))


def imports_in(code: str) -> list[tuple[str, str]]:
    """The module and the name of each ``from module import name`` of our package in ``code``."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("spec_envs")
        for alias in node.names
    ]


def definitions_of(module: str, name: str) -> list[str]:
    """The files of the checkout in which ``module.name`` is defined, as jedi finds them."""
    line = f"from {module} import {name}"
    script = jedi.Script(line, path=ROOT / "examples" / "unsaved.py", project=PROJECT)
    found = script.goto(1, len(line), follow_imports=True)
    return [
        os.path.relpath(definition.module_path, ROOT)
        for definition in found
        if definition.type != "module" and definition.module_path and definition.module_path.is_relative_to(ROOT)
    ]


def test_of_the_names_that_the_readme_imports():
    imports = imports_in(code_of((ROOT / "README.md").read_text(encoding="utf-8")))
    assert len(imports) >= 3
    assert [name for name in imports if not definitions_of(*name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_of_the_public_names_of(package):
    names = import_module(package).__all__
    assert [name for name in names if not definitions_of(package, name)] == []
