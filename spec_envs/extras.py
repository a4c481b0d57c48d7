"""Optional dependencies: one message with the one command that installs everything that is missing."""

import contextlib
import importlib
import importlib.util
import re
import traceback
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from gymnasium.error import DependencyNotInstalled

from spec_envs.errors import SpecEnvsError

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
    """Import the packages of these extras, which ``what`` needs.

    Raises:
        DependencyNotInstalled: Some are not installed, and the message names all of them; or one raises when it is
            imported.
    """
    names = [name for extra in extras for name in PACKAGES[extra]]
    if missing := [name for name in names if not _is_installed(name)]:
        raise _failure(what, extras, ", ".join(missing))
    with needed(what, *extras):
        for name in names:
            importlib.import_module(_module_of(name))


@contextlib.contextmanager
def needed(what: str, *extras: str, script: bool = False) -> Iterator[None]:
    """Begin a ``with`` block in which ``what`` imports packages of these extras.

    A ``script`` checks all packages at once, and where one is missing prints the message and ends.

    Raises:
        DependencyNotInstalled: A package is not there, or is there and raises when it is imported.
        SystemExit: The same in a script.
    """
    try:
        if script:
            require(what, *extras)
        yield
    except Exception as error:  # a broken package may raise anything
        names = [name for extra in extras for name in PACKAGES[extra]]
        unfit = [told for name in names if (told := _unfit(name))]
        if _is_of_this_package(error) and (not unfit or isinstance(error, SpecEnvsError)):
            raise
        said = str(error) if isinstance(error, ImportError) else f"installed, but broken: {error!r:.300}"
        is_told = isinstance(error, DependencyNotInstalled)
        packages = ", ".join(unfit or map(_with_version, names))
        failure = error if is_told else _failure(what, extras, f"{packages} ({' '.join(said.split())})")
        if script:
            raise SystemExit(str(failure)) from None
        raise failure from error


def _is_of_this_package(error: Exception) -> bool:
    """Whether ``error`` is a bug of this package, and not of one that it imports."""
    if isinstance(error, ImportError):
        return (error.name or "").partition(".")[0] == "spec_envs"
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    is_own = str(frame.f_globals.get("__name__")).partition(".")[0] == "spec_envs"
    return is_own and frame.f_globals["__name__"] != __name__ and not isinstance(error, DependencyNotInstalled)


def install_command(*extras: str) -> str:
    """The command that installs these extras; for a checkout of the repository also the one that needs no index."""
    names, root = ",".join(extras), Path(__file__).parents[1]
    here = f', or for this checkout: pip install -e "{root}[{names}]"' if (root / "pyproject.toml").is_file() else ""
    return f"pip install 'spec-envs[{names}]'{here}"


def _failure(what: str, extras: tuple[str, ...], packages: str) -> DependencyNotInstalled:
    return DependencyNotInstalled(f"{what} needs {packages}: {install_command(*extras)}")


def _unfit(package: str) -> str | None:
    """The version that is needed and the version that is installed, if the latter is too old or too new."""
    with contextlib.suppress(Exception):
        version = metadata.version(package)
        for requirement in metadata.requires("spec-envs") or ():
            bounds = re.fullmatch(rf"{re.escape(package)}\s*([<>=!~,.\d\s]*)(?:;.*)?", requirement)
            for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", bounds[1] if bounds else ""):
                if (_numbers(version) < _numbers(bound)) == (sign == ">="):
                    return f"{package}{sign}{bound}, and {version} is installed"
    return None


def _numbers(version: str) -> list[int]:
    """The numbers of a version in order, without zeros at the end."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return list(map(int, re.sub(r"(?:\.0+)+$", "", found[0]).split("."))) if found else []


def _with_version(package: str) -> str:
    with contextlib.suppress(Exception):
        package += f" (version {metadata.version(package)})"
    return package


def _module_of(package: str) -> str:
    return _MODULES.get(package, package.replace("-", "_"))


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)  # also told from a folder that has the name of the package's module
        return importlib.util.find_spec(_module_of(package)) is not None
    except Exception:  # of a package around it, which is imported and may be broken
        return False
