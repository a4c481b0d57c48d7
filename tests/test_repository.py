"""The files around the package say the same as the package."""

from __future__ import annotations

import re
import tomllib

from tests.sources import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_hooks_before_a_commit_are_the_checks_of_make_check():
    recipes = re.findall(r"^check-\w+:\n((?:\t.*\n)+)", MAKEFILE, re.M)
    checks = [line.strip().replace("$(BIN)", ".venv/bin") for recipe in recipes for line in recipe.splitlines()]
    assert re.findall(r"^ +entry: (.*)$", text_of(".pre-commit-config.yaml"), re.M) == checks


def test_make_check_runs_all_tests_of_pages():
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    marked = [str(each.relative_to(ROOT)) for each in tests if re.search(r"\bmark\.docs\b", each.read_text("utf-8"))]
    assert f"-m docs {' '.join(marked)}\n" in MAKEFILE


def test_the_citation_names_this_version_and_license():
    citation = text_of("CITATION.cff")
    assert f"\nversion: {PROJECT['version']}\n" in citation and f"\nlicense: {PROJECT['license']}\n" in citation
    assert "2510.04371" in citation


def test_the_workflows_run_what_there_is():
    workflow = text_of(".github/workflows/ci.yml")
    commands = re.findall(r"- run: (.*)$", workflow, re.M)
    assert commands == [".ci/run", "make installs"]
    assert all((ROOT / each).exists() or f"\n{each.split()[-1]}:" in MAKEFILE for each in commands)
    versions = re.findall(r'"(3\.\d+)"', workflow)
    assert PROJECT["requires-python"] == f">={min(versions, key=lambda text: int(text[2:]))}"


def test_pages_name_only_extras_that_there_are():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.py")]
    named = {each for page in pages for each in re.findall(r"spec-envs\[([\w,-]+)\]", page.read_text(encoding="utf-8"))}
    assert {extra for group in named for extra in group.split(",")} <= PROJECT["optional-dependencies"].keys()


def test_an_example_needs_what_it_checks_for():
    for example in (ROOT / "examples").glob("*.py"):
        text = example.read_text(encoding="utf-8")
        checked = re.search(r'needed\("this example", (.*?), script=True\)', text)
        extras = "" if checked is None else f"[{checked[1].replace(', ', ',').replace(chr(34), '')}]"
        quoted = f'"spec-envs{extras}"' if extras else "spec-envs"
        assert f"\nNeeds: pip install {quoted}\n" in text, f"{example.name} checks for {extras or 'no extra'}"
