"""Clean environments: each example after just its extra, old and new dependencies, and what others pin beside us.

Takes minutes and needs the package index: `make installs`.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import run
from tests.sources import ROOT
from tests.test_distributions import index_is_out_of_reach, wheel  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.installs, pytest.mark.timeout(1200)]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
#: What the tests that run in other environments need.
PYTEST = ("pytest>=8.3", "pytest-timeout>=2.3", "hypothesis>=6.130")

CHATS = ("agents/test_chat_model.py", "agents/test_chat_guesser.py", "benchmarks/test_serving.py")
AGENTS = ("wrappers/tools/test_openai_agents.py",)
ENVIRONMENTS = ("chess/test_env.py", "retail/test_shop.py", "search/test_http_backend.py", "test_spaces.py")
ADAPTERS = tuple(f"wrappers/tools/test_{name}.py" for name in ("mcp", "langgraph", "blocking"))


def oldest(*extras: str) -> tuple[str, ...]:
    """The least versions that the project, or one of its extras, allows."""
    lines = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]] or PROJECT["dependencies"]
    return tuple(re.sub(r">=([\d.]+).*", r"==\1", line) for line in lines)


#: By name: extras, further requirements, and the tests that must pass.
DEPENDENCIES = {
    "openai 2": ("servers,openai-agents", ("openai<3",), (*CHATS, *AGENTS)),
    "openai 3": ("servers,openai-agents", ("openai>=3",), (*CHATS, *AGENTS)),
    "mcp 1": ("servers,openai-agents", ("mcp<2", *oldest("openai-agents")), AGENTS),
    "oldest": ("servers,otel", (*oldest(), *oldest("servers", "otel")), (*CHATS, *ENVIRONMENTS)),
    "oldest adapters": ("servers,mcp,langgraph", (*oldest("mcp", "langgraph"), "langchain-openai>=1"), ADAPTERS),
}
#: What resolves beside us, with which of our extras.
OTHERS = {
    "verifiers": "[mcp]",
    "openenv": "",
    "inspect-ai": "[mcp]",
    "trl": "[mcp,langgraph]",
    "vllm": "[mcp]",
    "crewai": "",
    "sglang": "",
}


def pip(python: str | Path) -> list[str | Path]:
    return [python, "-m", "pip", "--disable-pip-version-check"]


def install(python: str | Path, folder: Path, *arguments: str) -> str:
    """What ``pip install`` printed; skips the test if it cannot reach the index."""
    done = run(*pip(python), "install", "--quiet", *arguments, cwd=folder, timeout_s=900.0)
    if done.returncode != 0 and index_is_out_of_reach(pip(python), folder):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:  # noqa: F811
    """Makes the interpreter of a clean environment with some extras, once for each set of requirements."""
    made: dict[tuple[str, ...], Path] = {}

    def make(extras: str, *requirements: str) -> Path:
        wanted = (f"{wheel}[{extras}]" if extras else str(wheel), *requirements)
        if wanted not in made:
            folder = tmp_path_factory.mktemp("venv")
            venv.create(folder, with_pip=True, symlinks=True)
            install(folder / "bin" / "python", folder, *wanted)
            made[wanted] = folder / "bin" / "python"
        return made[wanted]

    return make


def needs(example: Path) -> str:
    """The extras that an example says it needs."""
    found = re.findall(r'^Needs: pip install (?:spec-envs|"spec-envs\[([\w,-]+)\]")$', example.read_text(), re.M)
    assert len(found) == 1, f"{example.name} must say once: Needs: pip install …"
    return str(found[0])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_after_what_it_says(example, environment, tmp_path):
    python = environment(needs(example))
    done = run(python, "-W", "error", example, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_dependencies(name, environment):
    extras, requirements, files = DEPENDENCIES[name]
    python = environment(extras, *requirements, *PYTEST)
    # Old versions warn of what has changed since.
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning"]
    command += ["-W", "ignore::PendingDeprecationWarning", *(f"tests/{file}" for file in files)]
    done = run(*command, cwd=ROOT, timeout_s=900.0)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def would_install(folder: Path, *arguments: str) -> dict[str, str]:
    """The versions that pip would install, by name."""
    report = install(sys.executable, folder, "--dry-run", "--ignore-installed", "--report", "-", *arguments)
    metadata = [each["metadata"] for each in json.loads(report)["install"]]
    return {each["name"].lower().replace("_", "-"): each["version"] for each in metadata}


@pytest.mark.parametrize("other", OTHERS)
def test_resolves_beside(other, wheel, tmp_path):  # noqa: F811
    """The newest version of another package, since an old one that fits can nearly always be found."""
    newest = would_install(tmp_path, "--no-deps", other)[other]
    assert would_install(tmp_path, f"{wheel}{OTHERS[other]}", other)[other] == newest
