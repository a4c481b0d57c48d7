"""Who may import whom, read from the source: dependencies go one way, and the core stays pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import FOLDERS, MODULES, SOURCES, imports_of

FORBIDDEN = {
    "spec_envs": ("spec_envs.agents", "spec_envs.wrappers", "spec_envs.benchmarks"),
    "agents": ("spec_envs.wrappers", "spec_envs.benchmarks"),
    "wrappers": ("spec_envs.agents", "spec_envs.benchmarks"),
    "benchmarks": (),
}
#: What the entrance offers from above, loaded when it is used.
OFFERED = {"spec_envs/__init__.py": {"spec_envs.wrappers.workers.rollouts.rollouts"}}
#: The edge of the library: imports all of it, waits and starts what it needs, and is imported by commands alone.
EDGE = "spec_envs/integrations/"

#: What starts threads or processes, waits, or reads a clock.
WAITING = {"_thread", "asyncio", "concurrent", "multiprocessing", "queue", "sched", "threading", "time"}
#: A lock protects what several threads use; it starts none.
LOCKS = {"threading.Lock", "threading.RLock", "threading.local"}
#: The modules that may: everything else gets its time from a token or a runtime.
MAY_WAIT = {
    "agents/llm/chat_model.py": "asks which event loop it is on",
    "agents/llm/said_calls.py": "waits for what a model says, on the wall clock",
    "spec_envs/asgi_server.py": "runs a server in a thread",
    "spec_envs/handling.py": "the token of the wall clock",
    "spec_envs/chess/uci.py": "talks to a chess engine's process",
    "wrappers/cache.py": "keeps responses for so long, on the wall clock",
    "wrappers/telemetry.py": "tells OpenTelemetry when things happened, on the wall clock",
    "wrappers/speculation/episode.py": "says how long a step took on a fork",
    "wrappers/speculation/trust/fork_steps.py": "keeps steps of forks and of the environment apart",
    "wrappers/speculation/trust/rehearsal.py": "has so much real time and no more",
    "wrappers/speculation/trust/replays.py": "looks at what other threads do for as long as a step has taken",
    "wrappers/runtimes/asyncio.py": "the runtime of asyncio",
    "wrappers/runtimes/base.py": "asks whether it is in the thread that gets Ctrl-C",
    "spec_envs/background_loop.py": "an event loop for what asks the web, or a model",
    "spec_envs/search/web/browser_pool.py": "starts browsers ahead, in a thread",
    "spec_envs/search/web/chromium.py": "ends a browser's processes",
    "spec_envs/search/web/client.py": "asks a site, and pauses between attempts",
    "spec_envs/search/web/gate.py": "a browser's way to the web",
    "spec_envs/search/local_wiki/server.py": "a server, and pages that take their time",
    "spec_envs/slots.py": "calls wait for a slot",
    "spec_envs/retail/shop/app.py": "calls the database from threads, and with faults answers late on purpose",
    "spec_envs/tuning/journal.py": "is told from which thread it is made, since only one can handle signals",
    "spec_envs/tuning/load.py": "measures the machine by the second",
    "spec_envs/tuning/backends/sysbench.py": "measures sysbench",
    "spec_envs/tuning/backends/system_settings.py": "measures in the calling thread",
    "spec_envs/tuning/programs/tcp_messages.py": "a program of its own that measures",
    "spec_envs/tuning/programs/spinner.py": "a program of its own that measures",
    "spec_envs/tuning/programs/database.py": "a program of its own that measures",
    "spec_envs/tuning/programs/wire.py": "for programs of their own that measure",
    "wrappers/runtimes/threads.py": "the runtime of threads",
    "wrappers/tools/blocking.py": "a bridge to an event loop in a thread of its own",
    "wrappers/tools/driver.py": "makes calls ahead of time on the runtime of asyncio",
    "wrappers/workers/purse.py": "settles with the ledger of a cluster, in a thread",
    "wrappers/workers/ray_workers.py": "waits for the workers of a cluster",
    "wrappers/workers/pool.py": "processes of this machine",
    "wrappers/workers/processes.py": "plays episodes in processes",
    "wrappers/tools/proxy.py": "a proxy that is awaited",
}


#: The modules that import the OpenAI Agents SDK, whose package has the name of our folder.
MAY_IMPORT_AGENTS = {"benchmarks/tools/run.py", "wrappers/tools/openai_agents.py"}


def waiting_of(path: Path) -> set[str]:
    """The names by which a file waits, starts threads or reads a clock; locks are not among them."""
    names = {name for name in imports_of(path) if name.partition(".")[0] in WAITING}
    if "threading" in names:
        names.remove("threading")
        names |= {
            f"threading.{node.attr}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "threading"
        }
    return names - LOCKS


def test_the_folders_are_found():
    assert {name.partition("/")[0] for name in SOURCES} == set(FOLDERS)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_go_one_way(name):
    edge = "spec_envs.integrations"
    forbidden = ("spec_envs.benchmarks",) if name.startswith(EDGE) else FORBIDDEN[name.partition("/")[0]]
    if not name.startswith((EDGE, "benchmarks/")):
        forbidden = (*forbidden, edge)
    wrong = [
        module
        for module in imports_of(SOURCES[name])
        if f"{module}.".startswith(tuple(f"{f}." for f in forbidden)) and module not in OFFERED.get(name, ())
    ]
    assert not wrong


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_is_imported_by_the_name_of_its_folder(name):
    # It would work in a checkout, and nowhere else.
    folders = set(FOLDERS) - {"spec_envs"} - ({"agents"} if name in MAY_IMPORT_AGENTS else set())
    wrong = [module for module in imports_of(SOURCES[name]) if module.partition(".")[0] in folders]
    assert not wrong


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith("benchmarks/")])
def test_only_the_runtimes_wait(name):
    assert name in MAY_WAIT or name.startswith(EDGE) or not waiting_of(SOURCES[name])


def test_no_module_is_excused_without_need():
    assert {name for name in MAY_WAIT if waiting_of(SOURCES[name])} == set(MAY_WAIT)


PURE = [
    *(name for name in SOURCES if name.startswith("wrappers/speculation/tree/")),
    *(f"wrappers/tools/{name}.py" for name in ("executions", "machine", "runs")),
]


@pytest.mark.parametrize("name", PURE)
def test_the_state_machines_are_pure(name):
    impure = WAITING | {"logging", "os", "random", "secrets", "socket", "subprocess", "sys", "uuid"}
    assert not [module for module in imports_of(SOURCES[name]) if module.partition(".")[0] in impure]


def imported_modules(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports: at its top, inside functions, and for type checkers alone."""
    for name in imports_of(path):
        if name in MODULES:
            yield name
        elif name.rpartition(".")[0] in MODULES:
            yield name.rpartition(".")[0]


def circles_in(graph: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of more than one node: modules that need each other."""
    reached = {node: reach(graph, node) for node in graph}
    components = {frozenset({other for other in reached[node] if node in reached[other]}) for node in graph}
    return sorted((set(component) for component in components if len(component) > 1), key=sorted)


def reach(graph: dict[str, set[str]], start: str) -> set[str]:
    """What can be reached from ``start`` along one edge or more."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"e", "a"}, "e": {"f"}, "f": {"d"}, "g": set()}
    assert circles_in(graph) == [{"b", "c"}, {"d", "e", "f"}]


def test_no_modules_import_each_other():
    graph = {module: set(imported_modules(path)) - {module} for module, path in MODULES.items()}
    assert circles_in(graph) == []
