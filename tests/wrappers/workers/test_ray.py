"""Episodes on a real Ray cluster of two nodes, of which one is killed, under limits that are never passed."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import select
import socket
import socketserver
import threading
import time
from typing import Any

import pytest

from spec_envs import rollouts
from spec_envs.agents import FrequencyGuesser
from spec_envs.benchmarks.processes import ANY_CLUSTER, Workers, as_done
from spec_envs.calls import Effect
from spec_envs.errors import EpisodeFailed, InvalidConfiguration
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import SharedLimit
from tests.benchmarks.reports import report_of
from tests.wrappers.workers import parts
from tests.wrappers.workers.test_rollouts import counted, rows

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # those of Ray are not about this project
]


os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
SMALL = {"include_dashboard": False, "object_store_memory": 80_000_000}


class Doors(socketserver.ThreadingTCPServer):
    """Counts the calls in flight from outside: each is a connection, which also the death of its process closes."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.lock, self.now, self.most, self.begun = threading.Lock(), 0, 0, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def finish_request(self, request: Any, client_address):
        # Counted from before the call until after it: never fewer than are in flight.
        with self.lock:
            self.begun.append(time.monotonic())
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            request.sendall(b"+")
            ended = request.recv(1)  # empty: its process has died
        except ConnectionError:  # it has died before it read the greeting
            ended = b""
        finally:
            with self.lock:
                self.now -= 1
        if ended:
            request.sendall(b"-")


def call(port, seconds, query):
    """A handler that keeps a connection open for so long."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.recv(1)
        time.sleep(seconds)
        connection.sendall(b"x")
        connection.recv(1)  # it is not counted any more
    return len(repr(query)) % 4


def make(port, seconds=0.03, length=6):
    world = functools.partial(call, port, seconds)
    return FakeEnv({"world": world}, length=length, random=False, effects=(Effect.READ,))


@pytest.fixture(scope="module")
def cluster():
    made = attempted(lambda: cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2, **SMALL}))
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def attempted(begin):
    """``begin()``, which Ray gives up after half a minute: a busy machine may need more than one attempt."""
    for _ in range(4):
        with contextlib.suppress(Exception):
            return begin()
    return begin()


@contextlib.contextmanager
def second_node(cluster, num_cpus=2):
    node = attempted(lambda: cluster.add_node(num_cpus=num_cpus, **SMALL))
    try:
        yield node
    finally:
        with contextlib.suppress(Exception):
            cluster.remove_node(node, allow_graceful=False)


@pytest.fixture
def doors():
    server = Doors()
    yield server
    server.shutdown()
    server.server_close()


def play(env_factory, seeds, **options):
    options = {"guessers": {}, "jobs": 2, "guard": False, **options}
    return rollouts(env_factory, parts.policy, options.pop("guessers"), seeds, ray=True, **options)


def test_rows_are_those_of_one_process_and_guessers_learn_from_all(cluster):
    alone, merged = parts.guessers(), parts.guessers()
    one = rollouts(parts.make, parts.policy, alone, range(6), runtime="simulation")
    many = list(play(parts.make, range(6), guessers=merged, runtime="simulation", in_order=True))
    assert [found.seed for found in many] == list(range(6)) and rows(many) == rows(one)
    assert counted(merged["world"]) == counted(alone["world"]) == 30


def test_guessers_that_are_kept_a_worker_each_leave_those_given_alone(cluster):
    guessers = {"world": FrequencyGuesser()}
    assert len(list(play(parts.make, range(4), guessers=guessers, learning="worker", runtime="simulation"))) == 4
    assert counted(guessers["world"]) == 0


def test_errors_tell_the_seed(cluster):
    with pytest.raises(EpisodeFailed, match="seed 1 failed: HandlerFailed: FailureOfThree: 1 2 3"):
        list(play(parts.make_failing, range(4), in_order=True))


def test_a_worker_that_dies_again_and_again_is_told(cluster):
    with pytest.raises(EpisodeFailed, match="seed 7 failed: 4 workers have died while they played it"):
        list(play(parts.make_deadly, [7], jobs=1))


def test_what_cannot_be_loaded_is_told(cluster):
    with pytest.raises(InvalidConfiguration, match="cannot load what it is to play"):
        list(play(Unloadable(), range(2)))


class Unloadable:
    def __call__(self):
        raise AssertionError

    def __reduce__(self):
        return _fail, ()


def _fail():
    raise ValueError("not on this machine")


def test_a_node_that_is_killed_costs_its_episodes_a_retry_and_no_limit_is_passed(cluster, doors):
    limits = {"world": SharedLimit(max_inflight=3)}
    playing = play(functools.partial(make, doors.port, 0.1), itertools.count(), jobs=4, shared_limits=limits)
    found: dict[int, Any] = {}
    with second_node(cluster) as node, contextlib.closing(playing):
        for episode in playing:
            assert len(episode.steps) == 6 and episode.seed not in found
            if not found:
                # Two workers are on the other node, so one of three calls in flight is theirs.
                assert until(lambda: doors.now == 3)
                cluster.remove_node(node, allow_graceful=False)
            found[episode.seed] = episode
            if found.keys() >= set(range(13)):  # more than are begun at once: those that were lost are among them
                break
    assert doors.most == 3


def test_no_window_has_more_calls_than_the_limit(cluster, doors):
    limits = {"world": SharedLimit(max_calls=6, per_s=1.0)}
    found = list(play(functools.partial(make, doors.port, 0.0, 4), range(6), shared_limits=limits))
    begun = sorted(doors.begun)
    assert len(found) == 6 and len(begun) == 24
    # A connection may be a little late; the calls themselves are not.
    assert all(last - first > 0.9 for first, last in zip(begun, begun[6:], strict=False))


def test_closing_the_iterator_cancels_what_runs(cluster, doors):
    endless = play(functools.partial(make, doors.port), itertools.count())
    assert next(endless).seed in (0, 1)
    endless.close()
    assert until(lambda: doors.now == 0)


def test_a_lambda_can_be_played(cluster):
    env_factory = lambda: parts.make()  # noqa: E731
    assert len(list(play(env_factory, range(2)))) == 2


def test_a_call_whose_process_was_killed_before_it_read_the_greeting_is_not_counted_any_more(doors):
    dying = socket.create_connection(("127.0.0.1", doors.port))
    assert until(lambda: doors.now == 1)
    select.select([dying], [], [])  # the greeting is there, so what closes is reset
    dying.close()
    assert until(lambda: doors.now == 0)


class TestBenches:
    """Parts of benches as tasks: the same rows, in the same order."""

    @pytest.mark.parametrize(
        "args",
        [
            ("tuning", "--seeds", 3, "--guesser", "climb", "--beside", "actor"),
            ("retail", "--num-tasks", 4, "--learn", 2),
            ("search", "--sweep"),
        ],
        ids=lambda args: args[0],
    )
    def test_have_the_same_rows(self, cluster, args):
        assert report_of(*args) == report_of(*args, "--ray", "any")

    def test_an_error_is_that_of_the_work(self, cluster):
        with pytest.raises(ValueError, match="^-1 is negative$"):
            list(as_done(square, [1, -1, 2], Workers(ray=ANY_CLUSTER)))

    def test_work_whose_worker_dies_is_done_again(self, cluster, tmp_path):
        done = dict(as_done(functools.partial(dies_once, tmp_path / "died"), [3, 4], Workers(ray=ANY_CLUSTER)))
        assert done == {0: 9, 1: 16}

    def test_what_runs_is_cancelled_when_nobody_wants_it(self, cluster, doors):
        endless: Any = as_done(functools.partial(waits, doors.port), range(9), Workers(2, ANY_CLUSTER))
        assert next(endless) == (0, 0) and until(lambda: doors.now == 2)
        endless.close()
        assert until(lambda: doors.now == 0) and len(doors.begun) <= 3


def square(number):
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


def dies_once(mark, number):
    with contextlib.suppress(FileExistsError):
        mark.touch(exist_ok=False)
        os._exit(1)
    return number * number


def waits(port, number):
    if number:
        call(port, 600, number)
    return number


def until(holds, seconds=60):
    """Whether ``holds`` within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()
