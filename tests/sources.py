"""The source files of the package, in a checkout or in an unpacked source distribution, for tests that read them."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: The folders of the repository; all but the first are linked into it, and install as ``spec_envs.agents`` and so on.
FOLDERS = ("spec_envs", "agents", "wrappers", "benchmarks")


def files_of_package() -> Iterator[Path]:
    """Every file below ``spec_envs``, as a path relative to ``ROOT``, with its links followed."""
    for folder, folders, files in os.walk(ROOT / "spec_envs", followlinks=True):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        yield from (Path(folder, name).relative_to(ROOT) for name in sorted(files))


def name_of(path: Path) -> str:
    """The name of a module's file in the repository: ``agents/chess.py``, also where no folder ``agents`` is beside."""
    linked = len(path.parts) > 2 and path.parts[1] in FOLDERS
    return path.relative_to("spec_envs").as_posix() if linked else path.as_posix()


def module_of(path: Path) -> str:
    """The name by which the module in the file ``path`` is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_PATHS = [path for path in files_of_package() if path.suffix == ".py"]
#: ``agents/chess.py`` -> the file's path.
SOURCES = {name_of(path): ROOT / path for path in _PATHS}
#: ``spec_envs.agents.chess`` -> the file's path.
MODULES = {module_of(path): ROOT / path for path in _PATHS}


@cache
def imports_of(path: Path) -> list[str]:
    """Absolute names of what a file imports, wherever in the file; ``from a import b`` gives ``a.b``."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return names
