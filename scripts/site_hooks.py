"""Hooks of `mkdocs build`: pages made from files at the root, and links to such files that hold on the site as well."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
#: The page of the site that shows a file of the root.
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "examples": "examples.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, PAGES[name], content=text))
    files.append(File.generated(config, PAGES["examples"], content=examples()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files at the root to the pages that show them."""

    def page_of(link: re.Match[str]) -> str:
        target = PAGES.get(link["name"].partition("/")[0])
        return f"]({'../' * (link['up'].count('../') - 1)}{target}" if target else link[0]

    return re.sub(r"\]\((?P<up>(?:\.\./)+)(?P<name>[\w./-]+)", page_of, markdown)


def examples() -> str:
    """The page of the programs in ``examples/``."""
    parts = [
        "# Examples",
        "Whole programs, most of them about 40 lines long. `make check` runs them, and `make hubs` those in `hubs/`.",
    ]
    for path in sorted((ROOT / "examples").rglob("*.py")):
        name, program = path.relative_to(ROOT / "examples").as_posix(), path.read_text(encoding="utf-8").rstrip()
        parts += [f"## {name}", f"```py\n{program}\n```"]
    return "\n\n".join(parts) + "\n"
