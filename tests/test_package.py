"""What is installed: the public names, what importing them costs, and the wheel beside another ``agents`` package."""

from __future__ import annotations

import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib import import_module, resources
from pathlib import Path

import pytest

import spec_envs

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "spec_envs": "spec_envs",
    "agents": "spec_envs/agents",
    "wrappers": "spec_envs/wrappers",
    "benchmarks": "spec_envs/benchmarks",
}
HEAVY = [
    "openai",
    "selenium",
    "torch",
    "cairosvg",
    "matplotlib",
    "rich",
    "bs4",
    "pettingzoo",
    "stable_baselines3",
    "uvicorn",
    "mcp",
    "langgraph",
    "langchain_core",
]


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``command`` outside the checkout, so that nothing is imported from the working directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280)


def succeed(*command: str | Path, cwd: Path | None = None) -> str:
    """The standard output of ``command``, which must succeed."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def modules() -> list[str]:
    """Every module of the package, found as an installed package's are."""
    found = pkgutil.walk_packages(spec_envs.__path__, "spec_envs.")
    names = [module.name for module in found]
    return sorted(set(names))


class TestPublicNames:
    def test_are_sorted_and_there(self):
        assert spec_envs.__all__ == sorted(spec_envs.__all__)
        assert [name for name in spec_envs.__all__ if not hasattr(spec_envs, name)] == []

    @pytest.mark.parametrize("module", modules())
    def test_every_module_imports_and_lists_only_what_it_has(self, module):
        imported = import_module(module)
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, since setuptools would pack whatever an earlier build left there."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, sources / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    succeed(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=sources)
    (built,) = out.glob("*.whl")
    return built


class TestWheel:
    def test_holds_every_module_under_one_name(self, wheel):
        names = zipfile.ZipFile(wheel).namelist()
        assert {re.sub(r"-[0-9.]+\.dist-info$", "", name.partition("/")[0]) for name in names} == {"spec_envs"}
        expected = {
            Path(target, path.relative_to(ROOT / folder)).as_posix()
            for folder, target in FOLDERS.items()
            for path in (ROOT / folder).rglob("*.py")
        }
        assert {name for name in names if name.endswith(".py")} == expected
        assert "spec_envs/py.typed" in names

    def test_the_source_distribution_holds_no_part_of_the_tests(self, tmp_path):
        sources = tmp_path / "sources"
        shutil.copytree(ROOT, sources, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "out"))
        succeed(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, cwd=sources)
        (built,) = tmp_path.glob("*.tar.gz")
        with tarfile.open(built) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        assert {
            "LICENSE",
            "README.md",
            "pyproject.toml",
            "spec_envs/py.typed",
            "spec_envs/wrappers/__init__.py",
        } <= names
        assert not [name for name in names if name.startswith("tests")]

    @pytest.mark.timeout(300)
    def test_installs_beside_another_package_named_agents(self, wheel, tmp_path):
        venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
        python = tmp_path / "venv" / "bin" / "python"
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        done = run(*pip, "install", "--quiet", wheel, "openai-agents", cwd=tmp_path)
        if done.returncode != 0 and index_is_out_of_reach(pip, tmp_path):
            pytest.skip("the package index cannot be reached, so openai-agents cannot be installed")
        assert done.returncode == 0, done.stdout + done.stderr

        code = "import json, agents, spec_envs.agents as ours; print(json.dumps([agents.__file__, ours.__file__]))"
        theirs, ours = json.loads(succeed(python, "-c", code, cwd=tmp_path))
        assert Path(theirs).parts[-3:] == ("site-packages", "agents", "__init__.py")
        assert Path(ours).parts[-4:] == ("site-packages", "spec_envs", "agents", "__init__.py")
        succeed(python, "-c", "from agents import Agent, Runner", cwd=tmp_path)
        succeed(python, "-c", "import spec_envs, spec_envs.wrappers, spec_envs.benchmarks", cwd=tmp_path)
        assert "Usage" in succeed(python.with_name("spec-envs"), "--help", cwd=tmp_path)
        assert "Usage" in succeed(python, "-m", "spec_envs.benchmarks.cli", "--help", cwd=tmp_path)


def index_is_out_of_reach(pip: list[str | Path], folder: Path) -> bool:
    """Whether pip gets no answer at all from the index; an answer that is an error is one."""
    probe = run(*pip, "download", "--retries", "1", "--no-deps", "--no-cache-dir", "openai-agents", cwd=folder)
    return probe.returncode != 0 and "after connection broken by" in probe.stdout + probe.stderr
