"""Optional dependencies: one message with the one command that installs everything that is missing."""

import contextlib
import importlib.util
from collections.abc import Iterator
from importlib import metadata

from gymnasium.error import DependencyNotInstalled

#: The packages of each extra, as in pyproject.toml.
PACKAGES = {
    "plot": ("matplotlib",),
    "render": ("cairosvg",),
    "servers": ("starlette", "uvicorn"),
    "mcp": ("mcp",),
    "openai-agents": ("openai-agents",),
    "langgraph": ("langgraph",),
    "sb3": ("stable-baselines3",),
    "tuning": ("scikit-learn",),
    "otel": ("opentelemetry-api",),
    "ray": ("ray",),
    "openenv": ("openenv",),
    "inspect": ("inspect-ai",),
    "examples": ("langchain-openai", "langgraph", "mcp", "openai-agents", "starlette", "uvicorn"),
}
#: The modules of packages whose names differ.
_MODULES = {"openai-agents": "agents", "opentelemetry-api": "opentelemetry.trace", "scikit-learn": "sklearn"}


def require(what: str, *extras: str) -> None:
    """Raise ``DependencyNotInstalled`` if ``what`` lacks packages of these extras; the message names all of them."""
    missing = [name for extra in extras for name in PACKAGES[extra] if not _is_installed(name)]
    if missing:
        raise _failure(what, extras, ", ".join(missing))


@contextlib.contextmanager
def needed(what: str, *extras: str, script: bool = False) -> Iterator[None]:
    """Begin a ``with`` block in which ``what`` imports packages of these extras.

    A ``script`` checks all packages at once, and where one is missing prints the message and ends.

    Raises:
        DependencyNotInstalled: A package cannot be imported.
        SystemExit: The same in a script.
    """
    try:
        if script:
            require(what, *extras)
        yield
    except (ImportError, DependencyNotInstalled) as error:
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "spec_envs":
            raise  # a bug of this package
        packages = ", ".join(name for extra in extras for name in PACKAGES[extra])
        failure = _failure(what, extras, f"{packages} ({error})") if isinstance(error, ImportError) else error
        if script:
            raise SystemExit(str(failure)) from None
        raise failure from error


def _failure(what: str, extras: tuple[str, ...], packages: str) -> DependencyNotInstalled:
    return DependencyNotInstalled(f"{what} needs {packages}: pip install 'spec-envs[{','.join(extras)}]'")


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)  # also told from a folder that has the name of the package's module
        return importlib.util.find_spec(_MODULES.get(package, package.replace("-", "_"))) is not None
    except (metadata.PackageNotFoundError, ImportError, ValueError):
        return False
