import os
import signal
import threading
import time
from typing import Any

import chess
import psutil
import pytest
from gymnasium.error import DependencyNotInstalled

from spec_envs import CancelToken
from spec_envs.chess.builtin import MATE
from spec_envs.chess.engine import STOCKFISH_VARIABLE, EnginePool, find_stockfish
from spec_envs.chess.position import Position
from spec_envs.errors import CallCancelled, EnvClosed, HandlerFailed, InvalidConfiguration
from tests.players import needs_stockfish


@pytest.fixture
def pool():
    with EnginePool(max_engines=2) as pool:
        yield pool


class SignallingToken(CancelToken):
    """Tells when the pool has been asked, so that a test need not sleep."""

    def __init__(self):
        super().__init__()
        self.registered = threading.Event()

    def on_cancel(self, callback):
        super().on_cancel(callback)
        self.registered.set()


def in_thread(function, *args, **kwargs):
    """Run ``function`` beside the test; ``join`` the result and look at ``outcome``."""
    outcome = []

    def run():
        try:
            outcome.append(function(*args, **kwargs))
        except Exception as error:
            outcome.append(error)

    thread: Any = threading.Thread(target=run)
    thread.start()
    thread.outcome = outcome
    return thread


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def is_searching(pid):
    # The clock that counts: a search has begun once the engine uses its processor.
    before = sum(psutil.Process(pid).cpu_times()[:2])
    wait_until(lambda: sum(psutil.Process(pid).cpu_times()[:2]) > before + 0.05)


@needs_stockfish
def test_ranks_moves_best_first(pool):
    lines = pool.analyse(Position(), depth=1, multipv=8)
    assert len({line.move for line in lines}) == 8
    assert [line.score for line in lines] == sorted((line.score for line in lines), reverse=True)
    assert all(chess.Board().is_legal(chess.Move.from_uci(line.move)) for line in lines)


@needs_stockfish
def test_equal_queries_have_equal_answers_whatever_was_asked_before(pool):
    position = Position(moves=("e2e4", "e7e5", "g1f3"))
    first = pool.analyse(position, nodes=3000, multipv=4)
    pool.analyse(Position(moves=("e2e4", "e7e5", "g1f3", "b8c6")), depth=9)
    assert pool.analyse(position, nodes=3000, multipv=4) == first
    threads = [in_thread(pool.analyse, position, nodes=3000, multipv=4) for _ in range(6)]
    for thread in threads:
        thread.join()
        assert thread.outcome == [first]
    assert len(pool.pids()) <= 2


@needs_stockfish
def test_mates_are_scored_and_a_finished_game_has_no_lines(pool):
    mate = pool.analyse(chess.Board("6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1"), depth=2, multipv=3)
    assert (mate[0].move, mate[0].score) == ("a1a8", MATE - 1)
    assert pool.analyse(chess.Board("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1"), depth=1) == []
    assert pool.analyse(chess.Board("k7/2Q5/2K5/8/8/8/8/8 b - - 0 1"), depth=1) == []
    only_one = pool.analyse(chess.Board("7k/8/8/8/8/8/r7/7K w - - 0 1"), depth=1, multipv=8)
    assert [line.move for line in only_one] == ["h1g1"]


@needs_stockfish
def test_a_killed_engine_is_replaced(pool):
    expected = pool.analyse(Position(), depth=1)
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    assert pool.analyse(Position(), depth=1) == expected
    assert pid not in pool.pids()


@needs_stockfish
def test_an_engine_killed_in_the_middle_is_replaced_and_the_query_repeated(pool):
    pool.analyse(Position(), depth=1)
    (pid,) = pool.pids()
    token = SignallingToken()
    search = in_thread(pool.analyse, Position(), depth=90, cancel=token)
    is_searching(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pool.pids() not in ([pid], []))
    token.cancel()
    search.join()
    assert isinstance(search.outcome[0], CallCancelled)
    assert not psutil.pid_exists(pid)


@needs_stockfish
def test_cancelling_stops_the_search_and_frees_the_engine():
    with EnginePool(max_engines=1) as pool:
        expected = pool.analyse(Position(), depth=1)
        pids = pool.pids()
        token = SignallingToken()
        search = in_thread(pool.analyse, Position(), depth=90, cancel=token)
        is_searching(pids[0])
        token.cancel()
        search.join()
        assert isinstance(search.outcome[0], CallCancelled)
        assert pool.analyse(Position(), depth=1) == expected
        assert pool.pids() == pids


@needs_stockfish
def test_a_call_that_was_cancelled_before_starts_no_search(pool):
    token = CancelToken()
    token.cancel()
    with pytest.raises(CallCancelled):
        pool.analyse(Position(), depth=90, cancel=token)


@needs_stockfish
def test_a_waiting_query_can_be_cancelled_too():
    with EnginePool(max_engines=1) as pool:
        first_token, second_token = SignallingToken(), SignallingToken()
        first = in_thread(pool.analyse, Position(), depth=90, cancel=first_token)
        first_token.registered.wait()
        second = in_thread(pool.analyse, Position(), depth=1, cancel=second_token)
        second_token.registered.wait()
        second_token.cancel()
        second.join()
        assert isinstance(second.outcome[0], CallCancelled)
        first_token.cancel()
        first.join()


@needs_stockfish
def test_a_hung_engine_is_killed_and_the_next_query_gets_another():
    with EnginePool(timeout_s=1.0) as pool:
        pool.analyse(Position(), depth=1)
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(HandlerFailed, match="gave no answer on rnbqkbnr/.* in 1.0 s and was killed"):
            pool.analyse(Position(), depth=1)
        assert not psutil.pid_exists(pid)
        assert pool.analyse(Position(), depth=1)


@needs_stockfish
def test_close_leaves_nothing_and_ends_waiting_calls():
    threads = set(threading.enumerate())
    pool = EnginePool(max_engines=1)
    pool.analyse(Position(), depth=1)
    (pid,) = pool.pids()
    searches = [in_thread(pool.analyse, Position(), depth=90) for _ in range(3)]
    is_searching(pid)
    pool.close()
    pool.close()
    for search in searches:
        search.join()
        assert isinstance(search.outcome[0], EnvClosed)
    assert not psutil.pid_exists(pid)
    assert pool.pids() == []
    # The timers of the searches end on their own.
    wait_until(lambda: set(threading.enumerate()) <= threads)
    with pytest.raises(EnvClosed, match="the engine pool was closed"):
        pool.analyse(Position(), depth=1)


@needs_stockfish
def test_a_dropped_pool_closes_itself():
    pool = EnginePool()
    pool.analyse(Position(), depth=1)
    (pid,) = pool.pids()
    del pool
    assert not psutil.pid_exists(pid)


def test_nothing_starts_before_the_first_query():
    with EnginePool("/no/such/engine") as pool:
        assert pool.pids() == []


@pytest.mark.parametrize("program", ["/no/such/engine", "/bin/true"])
def test_a_program_that_is_no_engine_is_an_error(program):
    with EnginePool(program) as pool, pytest.raises(HandlerFailed, match=f"{program} does not start as a UCI engine"):
        pool.analyse(Position(), depth=1)


def test_closing_does_not_wait_for_a_program_that_says_nothing():
    # `cat` repeats what it hears, and never says that it is an engine.
    pool = EnginePool("/bin/cat", timeout_s=600)
    before = set(psutil.Process().children())
    asking = in_thread(pool.analyse, Position(), depth=1)
    wait_until(lambda: set(psutil.Process().children()) - before)
    pool.close()
    asking.join()
    assert isinstance(asking.outcome[0], EnvClosed)
    assert set(psutil.Process().children()) <= before


def test_a_program_that_says_nothing_is_killed():
    before = set(psutil.Process().children())
    with EnginePool("/bin/cat", timeout_s=0.1) as pool:
        with pytest.raises(
            HandlerFailed,
            match="/bin/cat does not start as a UCI engine: it did not answer 'uci' with 'uciok' within 0.1 s",
        ):
            pool.analyse(Position(), depth=1)
        assert set(psutil.Process().children()) <= before


@needs_stockfish
def test_a_forked_process_has_engines_of_its_own(pool):
    expected = pool.analyse(Position(), depth=2)
    engines = pool.pids()
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(60)  # ends the child where it hangs
            fresh = pool.pids() == []
            same = pool.analyse(Position(), depth=2) == expected
            pool.close()
            status = 0 if fresh and same else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert pool.pids() == engines
    assert pool.analyse(Position(), depth=2) == expected


def test_arguments_are_checked():
    with pytest.raises(InvalidConfiguration, match="hash_mb must be an integer of at least 1, not 0"):
        EnginePool(hash_mb=0)
    with pytest.raises(InvalidConfiguration, match="max_engines must be None or an integer of at least 1, not 0"):
        EnginePool(max_engines=0)
    with pytest.raises(InvalidConfiguration, match="timeout_s must be above 0, not 0"):
        EnginePool(timeout_s=0)
    with EnginePool() as pool:
        with pytest.raises(InvalidConfiguration, match="give depth or nodes"):
            pool.analyse(Position())
        limits: list[dict[str, Any]] = [{"depth": 0}, {"nodes": 0}, {"depth": 1, "multipv": 0}]
        for limit in limits:
            with pytest.raises(InvalidConfiguration, match="(depth|nodes|multipv) must be .*of at least 1, not 0"):
                pool.analyse(Position(), **limit)
        with pytest.raises(InvalidConfiguration, match="no game can come to the position 8/8/"):
            pool.analyse(chess.Board("8/8/8/8/8/8/8/8 w - - 0 1"), depth=1)


def test_missing_stockfish_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.delenv(STOCKFISH_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("spec_envs.chess.engine._PLACES", ())
    with pytest.raises(DependencyNotInstalled, match="apt-get install stockfish"):
        find_stockfish()
    monkeypatch.setenv(STOCKFISH_VARIABLE, str(tmp_path / "engine"))
    with pytest.raises(DependencyNotInstalled, match=f"{STOCKFISH_VARIABLE}=.*engine is not a program"):
        find_stockfish()
    (tmp_path / "engine").touch(mode=0o755)
    assert find_stockfish() == str(tmp_path / "engine")
