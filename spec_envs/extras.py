"""Optional dependencies: one message with the one command that installs all that is needed."""

from __future__ import annotations

import re
from importlib import metadata

from gymnasium.error import DependencyNotInstalled


def require(what: str, *extras: str) -> None:
    """Check that all packages of these extras of spec-envs are installed.

    Args:
        what: What needs them, for the message.
        extras: Names of the extras.

    Raises:
        DependencyNotInstalled: A package is missing.
    """
    missing = [name for extra in extras for name in _packages_of(extra) if not _is_installed(name)]
    if missing:
        raise DependencyNotInstalled(f"{what} needs {', '.join(missing)}: pip install 'spec-envs[{','.join(extras)}]'")


def _packages_of(extra: str) -> list[str]:
    pattern = re.compile(rf"""([\w.-]+).*;\s*extra == ['"]{re.escape(extra)}['"]""")
    return [found[1] for line in metadata.requires("spec-envs") or () if (found := pattern.match(line))]


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
