"""What is not installed is named once, with the one command that installs it: in every command, module and example."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from gymnasium.error import DependencyNotInstalled

from spec_envs.checks import integer
from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import PACKAGES, needed

ROOT = Path(__file__).parents[1]

#: Reads what to run, a line of JSON each, and runs it in a fork of this process, which has imported the package and
#: none of the extras. The fork hides packages as if they were not installed, and ends as any program does, but that its
#: garbage collections do not look through what was imported before.
HIDING = """
import gc, importlib.machinery, json, os, runpy, sys
import spec_envs.agents, spec_envs.benchmarks.cli, spec_envs.wrappers

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if f"!{name}" in hidden:
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        return None

    def exec_module(self, module):  # the module is there, but broken
        name = module.__name__
        raise OSError("libx.so:\\nno such file") if name < "m" else AttributeError("no attribute 'x'")

gc.freeze()
for line in sys.stdin:
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
hidden, kind, what, arguments, folder = json.loads(line)
os.chdir(folder)
os.dup2(os.open("stdout", os.O_CREAT | os.O_WRONLY), 1)
os.dup2(os.open("stderr", os.O_CREAT | os.O_WRONLY), 2)
sys.meta_path.insert(0, Hidden())
sys.argv = [what, *arguments]
if kind == "script":
    runpy.run_path(what, run_name="__main__")
elif kind == "command":
    spec_envs.benchmarks.cli.main([what, *arguments], prog_name="spec-envs")
else:
    exec(what)
"""

CHESS = (
    "import gymnasium, spec_envs; env = gymnasium.make('SpecChess-v0', opponent='random', render_mode='rgb_array'); "
)
TUNING = "import gymnasium, spec_envs; env = gymnasium.make('SpecTuning-v0', backend='simulated', {}); "
AGENTS = "from spec_envs.wrappers.tools.openai_agents import *; "
COMMANDS = [
    ("mcp", "mcp,openai-agents,servers", "bench tools"),
    ("agents", "mcp,openai-agents,servers", "bench tools"),
    ("starlette", "mcp,openai-agents,servers", "bench tools"),
    ("uvicorn", "servers", "bench served-chess"),
    ("starlette", "servers", "bench served-chess"),
    ("starlette", "servers", "bench search-web"),
    ("sklearn", "tuning", "bench tuning"),
    ("matplotlib", "plot", "bench tuning --guesser climb --plot curves.png"),
    ("starlette", "servers", "serve-model --policy chess"),
    ("uvicorn", "servers", "serve-model --policy tools"),
    ("starlette", "servers", "shop --port 0"),
    ("uvicorn", "servers", "shop --port 0"),
    ("starlette", "servers", "wiki --port 0"),
]
EXAMPLES = [
    ("starlette", "servers", "served_model.py"),
    ("uvicorn", "servers", "served_model.py"),
    ("mcp", "mcp", "tools_mcp.py"),
    ("agents", "openai-agents,servers", "tools_openai_agents.py"),
    ("starlette", "openai-agents,servers", "tools_openai_agents.py"),
    ("langgraph", "examples", "tools_langgraph.py"),
    ("langchain_openai", "examples", "tools_langgraph.py"),
    ("uvicorn", "examples", "tools_langgraph.py"),
    ("langchain_core,langgraph,langchain_openai,starlette", "examples", "tools_langgraph.py"),
]
PROGRAMS = [
    ("opentelemetry", "otel", CHESS + "from spec_envs.wrappers import *; SpeculativeWrapper(env, otel=True)"),
    ("opentelemetry", "otel", "from spec_envs.wrappers import *; SpeculativeTools({}, 0, otel=True)"),
    ("cairosvg", "render", CHESS + "env.reset(); env.render()"),
    ("matplotlib", "plot", TUNING.format("render_mode='rgb_array'") + "env.reset(); env.render()"),
    ("sklearn", "tuning", "import numpy; from spec_envs.agents.tuning.gaussian_process import _Model; _Model(0, 0)"),
    ("mcp", "mcp", "import spec_envs.wrappers.tools.mcp"),
    ("langgraph", "langgraph", "import spec_envs.wrappers.tools.langgraph"),
    ("langchain_core", "langgraph", "import spec_envs.wrappers.tools.langgraph"),
    ("agents", "openai-agents", AGENTS + "speculative_tool(None, None)"),
    ("agents", "openai-agents", AGENTS + "speculative_server(None, None)"),
    ("starlette", "servers", "from spec_envs.benchmarks.serving import *; ModelServer(len)"),
    ("starlette", "servers", "import spec_envs.retail.shop.app"),
    ("uvicorn", "servers", "from spec_envs.asgi_server import Served; Served(None)"),
    ("inspect_ai", "inspect", "import spec_envs.integrations.inspect_tasks"),
    ("openenv", "openenv", "import spec_envs.integrations.openenv"),
    ("starlette", "servers", "from spec_envs.search.local_wiki.server import WikiSite; WikiSite({}).__enter__()"),
]


#: Extras outside of ``[all]``: too large, or their packages exclude what another extra needs.
APART = {"inspect", "openenv", "ray", "sb3"}


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", "-c", HIDING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.fixture
def hiding(forks: subprocess.Popen[str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs something without some packages; returns its exit status, and what it wrote on standard error."""

    def run(modules: str, kind: str, what: str, *arguments: str) -> tuple[int, str]:
        assert forks.stdin is not None and forks.stdout is not None
        print(json.dumps([modules.split(","), kind, what, arguments, str(tmp_path)]), file=forks.stdin, flush=True)
        status = int(forks.stdout.readline())
        return status, (tmp_path / "stderr").read_text()

    return run


def one_command(text: str) -> str:
    (extras,) = re.findall(r"pip install 'spec-envs\[(.*)\]'", text)
    return extras


@pytest.mark.parametrize(("modules", "extras", "arguments"), COMMANDS, ids=lambda value: value)
def test_a_command(modules, extras, arguments, hiding):
    status, said = hiding(modules, "command", *arguments.split())
    assert status == 2, said
    assert said.count("\n") == 1 and one_command(said) == extras


@pytest.mark.parametrize(("modules", "extras", "name"), EXAMPLES, ids=lambda value: value)
def test_an_example(modules, extras, name, hiding):
    status, said = hiding(modules, "script", str(ROOT / "examples" / name))
    assert status == 1
    assert said.count("\n") == 1 and one_command(said) == extras


@pytest.mark.parametrize(
    ("modules", "extras", "program"), PROGRAMS, ids=[f"{case[0]}: {case[2][-40:]}" for case in PROGRAMS]
)
def test_a_module(modules, extras, program, hiding):
    _, said = hiding(modules, "program", program)
    last = said.strip().splitlines()[-1]
    assert last.startswith("gymnasium.error.DependencyNotInstalled: "), said
    assert one_command(last) == extras


BROKEN = [case for case in PROGRAMS if case[0] not in ("cairosvg", "langchain_core")]


@pytest.mark.parametrize(
    ("modules", "extras", "program"), BROKEN, ids=[f"{case[0]}: {case[2][-40:]}" for case in BROKEN]
)
def test_a_package_that_is_there_but_raises_is_named_with_what_it_raises(modules, extras, program, hiding):
    _, said = hiding(f"!{modules}", "program", program)
    last = said.strip().splitlines()[-1]
    assert last.startswith("gymnasium.error.DependencyNotInstalled: "), said
    assert one_command(last) == extras
    assert "installed, but broken: " in last and ("no attribute" in last or "no such file" in last)


def test_an_example_with_a_broken_package(hiding):
    status, said = hiding("!mcp", "script", str(ROOT / "examples" / "tools_mcp.py"))
    assert status == 1 and said.count("\n") == 1 and one_command(said) == "mcp"


def test_the_extras_are_those_of_the_project():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    def packages(extra: str) -> set[str]:
        found: set[str] = set()
        for line in declared[extra]:
            nested = re.fullmatch(r"spec-envs\[(.*)\]", line)
            parts = map(packages, nested[1].split(",")) if nested else [{re.split(r"[>=<]", line)[0]}]
            found = found.union(*parts)
        return found

    assert {extra: set(names) for extra, names in PACKAGES.items()} == {
        extra: packages(extra) for extra in declared.keys() - {"test", "dev", "docs", "conformance", "all"}
    }
    everything = set().union(*map(packages, declared.keys() - {"test", "dev", "docs", "conformance", *APART}))
    assert packages("all") == everything


def test_a_bug_of_this_package_is_not_taken_for_a_missing_extra():
    with pytest.raises(ImportError, match="nothing_such"), needed("a test", "plot"):
        from spec_envs.calls import nothing_such  # type: ignore[attr-defined]  # noqa: F401
    with pytest.raises(InvalidConfiguration, match="least 1"), needed("a test", "plot"):
        integer("size", 0, least=1)


VERSIONS = {
    "too old": ("1.9.4", "needs mcp>=2, and 1.9.4 is installed (no Server): pip install 'spec-envs[mcp]'"),
    "too old, by far": ("0.10", "needs mcp>=2, and 0.10 is installed (no Server)"),
    "before its release": ("1.99rc1", "needs mcp>=2, and 1.99rc1 is installed (no Server)"),
    "the oldest": ("2.0.0", "needs mcp (version 2.0.0) (no Server): pip install 'spec-envs[mcp]'"),
    "too new": ("10.1", "needs mcp (version 10.1) (no Server): pip install 'spec-envs[mcp]'"),
    "of no number": ("unknown", "needs mcp>=2, and unknown is installed (no Server)"),
}


@pytest.mark.parametrize(("version", "message"), VERSIONS.values(), ids=VERSIONS)
def test_a_package_of_another_version_is_named_with_its_version(version, message, monkeypatch):
    known = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: version if name == "mcp" else known(name))
    with pytest.raises(DependencyNotInstalled) as caught, needed("a test", "mcp"):
        raise ImportError("no Server", name="mcp")
    assert message in str(caught.value)
    with pytest.raises(InvalidConfiguration, match="least 1"), needed("a test", "mcp"):
        integer("size", 0, least=1)
