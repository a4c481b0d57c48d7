"""The backends on the real machine: what is set is what is read, windows are valid, and nothing is left behind.

They say nothing of how fast anything is.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import psutil
import pytest

from spec_envs import CancelToken, Effect
from spec_envs.errors import CallCancelled, EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.slots import Slots
from spec_envs.tuning import machine as sched
from spec_envs.tuning.backends import BACKENDS, make_backend
from spec_envs.tuning.backends.program_backends import Loopback, SqliteBackend, SqliteMix
from spec_envs.tuning.backends.protocol import undisturbed
from spec_envs.tuning.backends.sysbench import SysbenchBackend, SysbenchCpu, read_output
from spec_envs.tuning.cores import core_sets
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics
from spec_envs.tuning.round_robin import RoundRobin

if TYPE_CHECKING:
    from spec_envs.tuning.backends.program_backends import EevdfBackend

REAL = tuple(name for name in BACKENDS if name != "simulated")
#: Of the processes that are killed here, and of those that they have started.
PATIENCE_S = 60.0


def made(name: str) -> Any:
    """A backend, or a skipped test where this machine has not what it takes."""
    try:
        return make_backend(name)
    except (InvalidConfiguration, gym.error.DependencyNotInstalled) as error:
        pytest.skip(str(error))


@pytest.fixture(params=REAL)
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    found = made(request.param)
    yield found
    found.close()


def ask(backend: Any, *, cancel: CancelToken | None = None, window_s: float = 0.2, **values: Any) -> Measurement:
    setting = {knob.name: knob.start for knob in backend.workload.knobs} | values
    query = MeasureQuery(backend.workload, tuple(setting.items()), 0, 0, window_s, window_s / 4)
    return until_something_happened(backend, query, cancel)


def until_something_happened(backend: Any, query: MeasureQuery, cancel: CancelToken | None = None) -> Measurement:
    """A window with an event in it; a machine that is busy with other things may not come to one at once."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        measured = backend(query, cancel or CancelToken())
        assert isinstance(measured, Measurement)
        if measured.metrics.throughput or time.monotonic() > deadline:
            return measured


def gone(pids: list[int]) -> bool:
    """Whether all of these processes end within some time."""
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return not psutil.wait_procs(processes, timeout=PATIENCE_S)[1]


class TestEveryBackend:
    def test_figures_are_in_order_and_in_their_units(self, backend):
        measured = ask(backend)
        metrics = measured.metrics
        assert 0 < metrics.p50 <= metrics.p95 <= metrics.p99 <= metrics.max
        assert 0 < metrics.mean <= metrics.max
        assert metrics.throughput > 0
        assert 0 < metrics.cpu_share <= 1
        assert 1 <= measured.attempts <= 3
        assert metrics.valid or measured.attempts == 3
        assert measured.machine.context_switches > 0
        assert 0 < measured.machine.memory <= 1
        assert measured.expected is None

    def test_is_an_environment(self, backend):
        env = gym.make("SpecTuning-v0", backend=backend, window_s=0.1, settle_s=0.02, windows=2, action_format="box")
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
        observation, _, _, _, info = env.step(env.action_space.sample())
        assert observation in env.observation_space
        assert info["attempts"] in (1, 2, 3)
        env.close()

    def test_draws_and_has_room_for_so_many_calls(self, backend):
        assert backend.effect is Effect.SAMPLE
        assert 1 <= backend.max_inflight <= (os.cpu_count() or 1)

    def test_a_cancelled_call_ends_early(self, backend):
        cancel = CancelToken()
        timer = threading.Timer(0.2, cancel.cancel)
        timer.start()
        with pytest.raises(CallCancelled):
            ask(backend, cancel=cancel, window_s=PATIENCE_S)
        timer.join()
        ask(backend)  # and the next one is not disturbed

    def test_after_close_it_measures_nothing(self, backend):
        ask(backend)
        backend.close()
        backend.close()
        with pytest.raises(EnvClosed):
            ask(backend)

    def test_closed_while_it_measures(self, backend):
        others = set(psutil.Process().children())  # other tests' multiprocessing may have left its tracker
        ask(backend)  # what takes long to start has started
        timer = threading.Timer(0.2, backend.close)
        timer.start()
        with pytest.raises(EnvClosed, match="was closed"):
            ask(backend, window_s=PATIENCE_S)
        timer.join()
        assert not set(psutil.Process().children()) - others

    def test_a_foreign_workload_is_refused(self, backend):
        query = MeasureQuery(object(), (("slice_ms", 1.0),), 0, 0, 0.1, 0.0)  # type: ignore[arg-type]
        with pytest.raises(InvalidConfiguration, match="not <object"):
            backend(query, CancelToken())

    def test_calls_beside_each_other_have_slots_of_their_own(self, backend):
        """More calls than slots: the rest wait, and all get an answer."""
        answers: list[Measurement] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(backend))) for _ in range(backend.max_inflight + 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == len(threads)


#: A process that measures with the backend argv[1], says which processes it has started, and waits to be killed.
OWNER = """
import signal, sys
import gymnasium as gym, psutil
import spec_envs

env = gym.make("SpecTuning-v0", backend=sys.argv[1], window_s=0.1, settle_s=0.02)
env.reset(seed=0)
print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
if sys.argv[2] == "wait":
    signal.pause()
"""


@pytest.mark.parametrize("name", ["eevdf", "sqlite", "sysctl"])
@pytest.mark.parametrize("how", ["wait", "return"])
def test_everything_started_ends_with_the_process(name, how):
    made(name).close()
    command = [sys.executable, "-W", "error", "-c", OWNER, name, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = list(map(int, process.stdout.readline().split()))
        assert pids
        if how == "wait":
            assert all(map(psutil.pid_exists, pids))
            process.kill()
    assert process.returncode == (-signal.SIGKILL if how == "wait" else 0)
    assert gone(pids)


def test_a_run_of_sysbench_ends_with_the_process():
    made("sysbench").close()
    code = "import sys; from spec_envs.tuning.backends.sysbench import *; from tests.tuning.test_backends import ask\n"
    code += f"ask(SysbenchBackend(), window_s={10 * PATIENCE_S})"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-W", "error", "-c", code], env=environment) as process:
        owner = psutil.Process(process.pid)
        running: list[psutil.Process] = []
        while not any(child.name() == "sysbench" for child in running):
            assert process.poll() is None
            running = owner.children()
        process.kill()
    assert gone([child.pid for child in running])


class TestEevdf:
    @pytest.fixture
    def eevdf(self) -> Iterator[EevdfBackend]:
        backend = made("eevdf")
        yield backend
        backend.close()

    def test_the_slice_is_set_on_every_task_and_read_back(self, eevdf):
        for slice_ms in (0.1, 3.2, 100.0):
            ask(eevdf, slice_ms=slice_ms)
            slices = {sched.get_slice(tid) for pid in eevdf.pids() for tid in sched.tids_of(pid)}
            assert slices == {round(slice_ms * 1e6)}

    def test_tasks_are_pinned_and_as_many_as_asked_for(self, eevdf):
        ask(eevdf)
        assert len(eevdf.pids()) == RoundRobin().tasks
        pinned = {tuple(psutil.Process(pid).cpu_affinity() or ()) for pid in eevdf.pids()}
        assert len(pinned) == 1
        assert len(next(iter(pinned))) == 1

    def test_another_number_of_tasks_replaces_them(self, eevdf):
        ask(eevdf)
        before = eevdf.pids()
        query = MeasureQuery(RoundRobin(1.0, tasks=2), (("slice_ms", 1.0),), 0, 0, 0.1, 0.02)
        eevdf(query, CancelToken())
        assert len(eevdf.pids()) == 2
        assert gone(before)

    def test_a_task_that_died_is_told_and_replaced(self, eevdf):
        ask(eevdf)
        os.kill(eevdf.pids()[0], signal.SIGKILL)
        with pytest.raises(HandlerFailed, match="has ended|No such process"):
            while True:  # it takes a moment until the task is gone
                ask(eevdf)
        assert ask(eevdf).metrics.throughput > 0

    def test_an_event_takes_as_much_time_as_it_should(self, eevdf):
        """Of a task alone on its core: never less than the CPU time that it uses."""
        query = MeasureQuery(RoundRobin(5.0, tasks=1), (("slice_ms", 3.2),), 0, 0, 0.2, 0.02)
        assert until_something_happened(eevdf, query).metrics.p50 >= 5.0

    def test_the_best_is_that_of_the_model(self, eevdf):
        assert eevdf.best(RoundRobin(0.5)) == 0.5


class TestSched:
    def test_what_cannot_set_slices_names_what_can_be_used_instead(self):
        for release, machine in (("6.11.3", "x86_64"), ("5.4", "x86_64"), ("rubbish", "x86_64"), ("6.12.0", "vax")):
            with pytest.raises(InvalidConfiguration, match='backend="simulated"'):
                sched.check_kernel(release, machine)

    @pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "armv7l"])
    def test_common_architectures_are_known(self, machine):
        if sys.platform == "linux":
            sched.check_kernel("6.12.0-generic", machine)

    def test_a_process_that_is_not_there_is_an_error(self):
        made("eevdf").close()
        with subprocess.Popen(["true"]) as process:
            pass
        with pytest.raises(HandlerFailed):
            sched.get_slice(process.pid)
        with pytest.raises(HandlerFailed):
            sched.tids_of(process.pid)


class TestSysbench:
    def test_its_output_is_read(self):
        metrics = read_output(OUTPUT)
        assert metrics == Metrics(0.218, 4.252, 24.384, 24.384, 0.68, 5777 / 1.002, 0.0, True)

    @pytest.mark.parametrize("lost", ["avg:", "max:", "total time", "total number", " |"])
    def test_output_that_lacks_something_is_an_error(self, lost):
        lines = [line for line in OUTPUT.splitlines() if lost not in line]
        with pytest.raises(HandlerFailed, match="sysbench printed"):
            read_output("\n".join(lines))

    def test_where_it_is_missing_the_way_out_is_named(self, monkeypatch):
        made("eevdf").close()
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(gym.error.DependencyNotInstalled, match=r"apt-get install sysbench.*\"eevdf\""):
            SysbenchBackend()

    def test_a_command_that_fails_is_an_error(self, tmp_path, monkeypatch):
        made("eevdf").close()
        fake = tmp_path / "sysbench"
        fake.write_text("#!/bin/sh\necho no such test\nexit 3\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        backend = SysbenchBackend()
        with pytest.raises(HandlerFailed, match=r"ended with code 3: no such test"):
            ask(backend)

    def test_arguments(self):
        for arguments in ((0,), (4, 2), (True,)):
            with pytest.raises(InvalidConfiguration):
                SysbenchCpu(*arguments)


OUTPUT = """sysbench 1.0.20 (using system LuaJIT 2.1.0-beta3)

Number of threads: 4
Prime numbers limit: 10000

Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.218 |**************************************** 5200
       4.252 |****                                     400
      24.384 |                                         177

CPU speed:
    events per second:  5763.82

General statistics:
    total time:                          1.0020s
    total number of events:              5777

Latency (ms):
         min:                                    0.22
         avg:                                    0.68
         max:                                   24.27
         95th percentile:                        4.25
         sum:                                 3951.30
"""


class TestSqlite:
    @pytest.fixture
    def sqlite(self, tmp_path: Path) -> Iterator[SqliteBackend]:
        backend = SqliteBackend(SqliteMix(rows=500), folder=tmp_path)
        yield backend
        backend.close()

    @pytest.mark.parametrize("name", [knob.name for knob in SqliteMix().knobs])
    def test_each_knob_takes_all_of_its_ends(self, sqlite, name):
        (knob,) = (knob for knob in sqlite.workload.knobs if knob.name == name)
        for value in (knob.grid[0], knob.grid[-1]):
            assert (
                ask(sqlite, window_s=0.05, **{name: value}).metrics.throughput >= 0
            )  # HandlerFailed if it reads otherwise

    def test_durability_is_no_knob(self):
        knobs = {knob.name: knob for knob in SqliteMix().knobs}
        assert "synchronous" not in knobs
        assert not {"off", "memory"} & set(knobs["journal_mode"].choices)

    def test_its_files_are_its_own_and_are_removed(self, sqlite, tmp_path):
        ask(sqlite)
        assert list(tmp_path.glob("spec-envs-sqlite-*/work.db"))
        sqlite.close()
        assert list(tmp_path.iterdir()) == []

    def test_its_files_are_removed_when_its_process_is_killed(self, sqlite, tmp_path):
        ask(sqlite)
        for slot in sqlite._programs:
            if slot.program is not None:
                slot.program._process.stdin.close()  # as the system does for a process that was killed
        assert eventually(lambda: not list(tmp_path.iterdir()))

    def test_arguments(self, tmp_path):
        for make in (
            lambda: SqliteMix(rows=0),
            lambda: SqliteMix(reads=1.5),
            lambda: SqliteBackend(folder=tmp_path / "missing"),
            lambda: SqliteBackend(max_inflight=1000),
        ):
            with pytest.raises(InvalidConfiguration):
                make()


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within some time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


class TestLoopback:
    def test_nothing_of_the_machines_own_network_changes(self):
        backend = made("sysctl")
        before = [Path(f"/proc/sys/net/ipv4/tcp_{side}mem").read_text() for side in "rw"]
        ask(backend, tcp_rmem_max=4096, tcp_wmem_max=8192)
        during = [Path(f"/proc/sys/net/ipv4/tcp_{side}mem").read_text() for side in "rw"]
        backend.close()
        assert before == during

    def test_arguments(self):
        with pytest.raises(InvalidConfiguration):
            Loopback(0)


class TestSlots:
    def test_a_slot_is_lent_to_one_at_a_time(self):
        slots = Slots(["one"], owner="the backend")
        with slots.lend(CancelToken()):
            waiting = CancelToken()
            thread = threading.Thread(target=waiting.cancel)
            thread.start()
            with pytest.raises(CallCancelled), slots.lend(waiting):
                pass
            thread.join()
        with slots.lend(CancelToken()) as slot:
            assert slot == "one"

    def test_after_close_nothing_is_lent(self):
        slots = Slots(["one"], owner="the backend")
        slots.close()
        with pytest.raises(EnvClosed), slots.lend(CancelToken()):
            pass

    def test_sets_of_cores_do_not_overlap(self):
        sets = core_sets(1)
        assert len({core for each in sets for core in each}) == len(sets)
        with pytest.raises(InvalidConfiguration, match="cores must be an integer from 1 to"):
            core_sets(len(sets) + 1)
        with pytest.raises(InvalidConfiguration):
            core_sets(0)

    def test_a_spoiled_window_is_measured_three_times_at_most(self):
        good = Metrics.of([1.0], 1.0)
        spoiled = Metrics.of([1.0], 1.0, valid=False)
        for windows, attempts in (([good], 1), ([spoiled, good], 2), ([spoiled] * 3, 3)):
            assert undisturbed(iter(windows).__next__) == (windows[-1], attempts)
