"""The code in README, docs and examples runs: offline, without Stockfish, and without a warning."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
EXAMPLES = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "examples").glob("*.py"))}
#: A machine without a browser and without an engine.
BARE = {"PATH": "", "SPEC_ENVS_STOCKFISH": "/not/installed"}

pytestmark = pytest.mark.docs


def code_of(text: str) -> str:
    """The Python blocks of a page as one program, each line where it stands in the page, so that errors name it."""
    inside, lines = False, []
    for line in text.splitlines():
        if inside and line.startswith("```"):
            inside = False
        lines.append(line if inside else "")
        if line == "```python":
            inside = True
    assert not inside, "a code block is not closed"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", PAGES)
def test_page(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable, value in BARE.items():
        monkeypatch.setenv(variable, value)
    code = code_of(PAGES[name].read_text(encoding="utf-8"))
    exec(compile(code, str(PAGES[name]), "exec", dont_inherit=True), {"__name__": "__main__"})


@pytest.mark.parametrize("name", PAGES)
def test_links_between_pages_lead_somewhere(name):
    page = PAGES[name]
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, tmp_path):
    command = [sys.executable, "-W", "error", str(EXAMPLES[name])]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | BARE, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pictures_that_a_script_draws_are_up_to_date():
    pictures = runpy.run_path(str(ROOT / "scripts" / "pictures.py"))["PICTURES"]
    del pictures["assets/timeline.svg"]  # of a game that is played: it may change with the rules of the tree
    old = [name for name, draw in pictures.items() if (ROOT / "docs" / name).read_text(encoding="utf-8") != draw()]
    assert old == [], "out of date: run `make docs`"


def test_code_keeps_its_place_in_the_page():
    page = "Title\n\n```python\nx = 1\n```\n\n```bash\nexit 1\n```\n```python\nassert x == 1\n```\n"
    assert code_of(page) == "\n\n\nx = 1\n\n\n\n\n\n\nassert x == 1\n\n"
