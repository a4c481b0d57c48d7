"""The wheel and the source distribution: what they hold, and that they install, build and test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.commands import run, succeed
from tests.sources import ROOT, files_of_package

#: What a source distribution holds besides the package, its licence and what the build adds.
PAGES_AND_TOOLS = (".github", "frontend", "docs", "examples", "tests", "scripts", ".ci")
FILES = (
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "mkdocs.yml",
    "pyproject.toml",
    "setup.py",
)
GENERATED = re.compile(r"spec_envs\.egg-info/|(PKG-INFO|setup\.cfg)$")


def copy_checkout(target: Path) -> Path:
    """A copy of the checkout, less what was generated: setuptools would pack what an earlier build left there."""
    generated = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build")
    return shutil.copytree(ROOT, target, symlinks=True, ignore=generated)


def build(kind: str, sources: Path, out: Path) -> Path:
    """Build the ``kind`` of distribution from ``sources`` into ``out``."""
    code = f"import setuptools.build_meta, sys; setuptools.build_meta.build_{kind}(sys.argv[1])"
    succeed(sys.executable, "-c", code, out, cwd=sources)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = copy_checkout(tmp_path_factory.mktemp("copy") / "sources")
    return build("wheel", sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    sources = copy_checkout(tmp_path_factory.mktemp("copy") / "sources")
    return build("sdist", sources, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked source distribution."""
    with tarfile.open(archive) as opened:
        opened.extractall(target := tmp_path_factory.mktemp("unpacked"), filter="data")
    (folder,) = target.iterdir()
    return folder


def contents(wheel: Path) -> dict[str, int]:
    """The checksum of every file in a wheel."""
    return {file.filename: file.CRC for file in zipfile.ZipFile(wheel).infolist()}


class TestSourceDistribution:
    def test_holds_what_builds_tests_and_explains_the_package_each_file_once(self, archive):
        with tarfile.open(archive) as opened:
            files = [file.name.partition("/")[2] for file in opened.getmembers() if not file.isdir()]
        beside = [path for folder in PAGES_AND_TOOLS for path in (ROOT / folder).rglob("*") if path.is_file()]
        expected = {
            path.relative_to(ROOT).as_posix() for path in beside if not {"__pycache__", "node_modules"} & {*path.parts}
        }
        expected |= {path.as_posix() for path in files_of_package()} | set(FILES)
        assert sorted(name for name in files if not GENERATED.match(name)) == sorted(expected)

    def test_builds_the_same_wheel(self, wheel, unpacked, tmp_path):
        assert contents(build("wheel", unpacked, tmp_path)) == contents(wheel)

    @pytest.mark.timeout(300)
    def test_runs_its_tests(self, unpacked):
        paths = ["tests/test_checks.py", "tests/test_glossary.py"]
        environment = os.environ | {"PYTHONPATH": str(unpacked)}
        command = [sys.executable, "-m", "pytest", "-q", *paths]
        done = subprocess.run(command, cwd=unpacked, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout + done.stderr


class TestWheel:
    def test_the_description_for_pypi_has_no_link_that_leads_nowhere(self, wheel):
        (metadata,) = (name for name in contents(wheel) if name.endswith(".dist-info/METADATA"))
        fields, _, description = zipfile.ZipFile(wheel).read(metadata).decode().partition("\n\n")
        assert "Description-Content-Type: text/markdown" in fields and description.startswith("# spec-envs\n")
        assert [
            target for target in re.findall(r"\]\(([^)]*)\)", description) if not target.startswith("https://")
        ] == []

    def test_holds_every_module_under_one_name(self, wheel):
        names = zipfile.ZipFile(wheel).namelist()
        assert {re.sub(r"-[0-9.]+\.dist-info$", "", name.partition("/")[0]) for name in names} == {"spec_envs"}
        assert {name for name in names if name.startswith("spec_envs/")} == {
            path.as_posix() for path in files_of_package()
        }

    def test_installs_beside_another_package_named_agents(self, wheel, tmp_path):
        # A wheel of Python alone is installed by unpacking it. `make installs` has pip do it, with all dependencies.
        venv.create(tmp_path / "venv", symlinks=True)
        python = tmp_path / "venv" / "bin" / "python"
        (installed,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
        zipfile.ZipFile(wheel).extractall(installed)
        here = sysconfig.get_path("purelib")  # with the dependencies, and the other package
        (installed / "beside.pth").write_text(here)

        code = """
from importlib import metadata, util
(command,) = metadata.entry_points(group="console_scripts", name="spec-envs")
print(util.find_spec("agents").origin, util.find_spec("spec_envs.agents").origin, command.module)
"""
        theirs, ours, command = succeed(python, "-c", code, cwd=tmp_path).split()
        assert Path(theirs) == Path(here, "agents", "__init__.py")
        assert Path(ours) == installed / "spec_envs" / "agents" / "__init__.py"
        assert "Usage" in succeed(python, "-m", command, "--help", cwd=tmp_path)


def index_is_out_of_reach(pip: list[str | Path], folder: Path) -> bool:
    """Whether pip gets no answer at all from the index; an answer that is an error is one."""
    probe = run(*pip, "download", "--retries", "1", "--no-deps", "--no-cache-dir", "openai-agents", cwd=folder)
    return probe.returncode != 0 and "after connection broken by" in probe.stdout + probe.stderr
