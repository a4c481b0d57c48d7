"""What is installed: the public names, what importing them costs, and the SDK that is named ``agents`` as well."""

from __future__ import annotations

import pkgutil
import sys
import tomllib
from importlib import import_module, resources
from pathlib import Path

import pytest
from gymnasium.error import DependencyNotInstalled

import spec_envs
from tests.commands import succeed
from tests.sources import MODULES, ROOT

HEAVY = [
    "openai",
    "selenium",
    "torch",
    "cairosvg",
    "matplotlib",
    "rich",
    "spec_envs.wrappers",
    "bs4",
    "pettingzoo",
    "stable_baselines3",
    "uvicorn",
    "mcp",
    "langgraph",
    "langchain_core",
]


def modules() -> list[str]:
    """Every module of the package, found as an installed package's are."""
    found = pkgutil.walk_packages(spec_envs.__path__, "spec_envs.", onerror=_is_optional)
    return sorted({module.name for module in found})


def _is_optional(package: str) -> None:
    """A package that cannot be imported here: only one that says what to install may be such a package."""
    with pytest.raises(DependencyNotInstalled):
        import_module(package)
    NOT_HERE.add(f"{package}.")


#: The beginnings of the names of modules in packages that cannot be imported here.
NOT_HERE: set[str] = set()


#: The packages that users begin with, which together have about as many public names as a newcomer can survey.
ENTRANCES = ("spec_envs", "spec_envs.agents", "spec_envs.wrappers")
ENVIRONMENTS = ("spec_envs.chess", "spec_envs.retail", "spec_envs.search", "spec_envs.tuning")


class TestPublicNames:
    def test_are_few(self):
        assert sum(len(import_module(package).__all__) for package in ENTRANCES) <= 55
        assert {
            package: number for package in ENVIRONMENTS if (number := len(import_module(package).__all__)) > 12
        } == {}

    @pytest.mark.parametrize("package", [*ENTRANCES, *ENVIRONMENTS])
    def test_are_documented(self, package):
        module = import_module(package)
        assert [name for name in module.__all__ if not (getattr(module, name).__doc__ or "").strip()] == []

    def test_are_sorted_and_there(self):
        assert spec_envs.__all__ == sorted(spec_envs.__all__)
        assert [name for name in spec_envs.__all__ if not hasattr(spec_envs, name)] == []

    @pytest.mark.parametrize("module", modules())
    def test_every_module_imports_and_lists_only_what_it_has(self, module):
        try:
            imported = import_module(module)
        except DependencyNotInstalled as error:
            pytest.skip(str(error))
        names = getattr(imported, "__all__", [])
        assert [name for name in names if not hasattr(imported, name)] == []

    def test_the_types_are_shipped(self):
        assert resources.files("spec_envs").joinpath("py.typed").is_file()

    def test_importing_them_imports_nothing_heavy(self, tmp_path):
        code = f"import sys, spec_envs; print([name for name in {HEAVY} if name in sys.modules])"
        assert succeed(sys.executable, "-W", "error", "-c", code, cwd=tmp_path) == "[]\n"

    def test_the_version_is_in_the_changelog(self):
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_module_is_found_as_those_of_an_installed_package_are():
    found = modules()
    assert found == sorted(name for name in MODULES.keys() - {"spec_envs"} if not name.startswith(tuple(NOT_HERE)))


class TestTheAgentsSDK:
    """The OpenAI Agents SDK is a package named ``agents`` too, and so is a folder of the checkout."""

    FILES = "from importlib.util import find_spec as f; print(f('agents').origin, f('spec_envs.agents').origin)"

    def check(self, printed: str) -> None:
        """Check that ``printed`` names the SDK's file, and ours."""
        theirs, ours = map(Path, printed.split())
        assert theirs.parts[-3:] == ("site-packages", "agents", "__init__.py")
        assert ours.parts[-3:] == ("spec_envs", "agents", "__init__.py")

    def test_is_found_by_a_script_beside_the_checkout(self, tmp_path):
        pytest.importorskip("agents", reason="openai-agents is not installed")
        script = tmp_path / "script.py"
        script.write_text(self.FILES)
        self.check(succeed(sys.executable, script, cwd=tmp_path))

    def test_is_hidden_from_code_that_python_imports_from_the_root_unless_asked_not_to(self):
        pytest.importorskip("agents", reason="openai-agents is not installed")
        if not (ROOT / "agents").exists():
            pytest.skip("an unpacked source distribution has no folder named agents at its root")
        hiding, _ = succeed(sys.executable, "-c", self.FILES, cwd=ROOT).split()
        assert Path(hiding).resolve() == ROOT / "agents" / "__init__.py"
        self.check(succeed(sys.executable, "-P", "-c", self.FILES, cwd=ROOT))
