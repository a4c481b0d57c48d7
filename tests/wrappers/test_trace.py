"""The trace and the statistics: everything that was started is accounted for."""

from __future__ import annotations

import collections
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from spec_envs import Call, CancelToken, Guess, Usage
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import Limits, SpeculativeWrapper, Trace
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import RUNTIMES, Answers, choose, make, play, virtual  # noqa: F401  (a fixture)

WORLD_S, POLICY_S = 3.0, 4.0
pytestmark = pytest.mark.usefixtures("virtual")


class Half:
    """Two guesses, of which one is right for about half of the queries; thinks for a quarter of a second."""

    def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        cancel.sleep(0.25, Usage(tokens_in=1))
        return [Guess(0, 0.5), Guess(1, 0.25)]


def world(query: Any, cancel: CancelToken) -> int:
    cancel.sleep(WORLD_S, Usage(tokens_in=10, tokens_out=20, money=0.5))
    return pure_response(query) % 2


def policy(observation: Any, cancel: CancelToken) -> int:
    cancel.sleep(POLICY_S, Usage(tokens_out=100))
    return choose(observation) % 2


def busy(runtime: Any = "simulation", **options: Any) -> SpeculativeWrapper[Any, Any]:
    """Two and a half episodes with hits, misses and cancelled calls, closed."""
    if runtime != "threads":
        guessers: dict[str, Any] = {"world": Half(), "policy": Half()}
        env = make(FakeEnv({"world": world}), policy, guessers=guessers, runtime=runtime, **options)
    else:
        guessers = {"world": Answers(lambda query: 0), "policy": Answers(lambda query: 1)}
        env = make(FakeEnv(), choose, guessers=guessers, runtime=runtime, **options)
    with env:
        play(env, env.act, 0)
        play(env, env.act, 1)
        play(env, env.act, 2, steps=5)
    return env


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_start_has_one_end_and_the_outcomes_add_up(runtime):
    env = busy(runtime)
    kinds = collections.Counter(event.kind for event in env.trace)
    starts = [event.call for event in env.trace if event.kind == "start"]
    ends = [event.call for event in env.trace if event.kind == "end"]
    assert len(set(starts)) == len(starts)
    assert sorted(starts, key=str) == sorted(ends, key=str)
    calls = env.statistics.calls
    assert sum(calls.values()) == kinds["start"]
    assert calls["open"] == calls["failed"] == 0
    assert calls["committed"] == kinds["commit"] == env.statistics.commits == 50
    assert calls["cancelled"] == sum(event.kind == "end" and event.outcome == "stopped" for event in env.trace)
    assert kinds["guess"] == sum(env.statistics.guesses.values())
    assert env.statistics.hits == sum(event.outcome == "hit" for event in env.trace)
    assert env.statistics.windows == sum(event.kind == "commit" and event.outcome != "unguessed" for event in env.trace)


def test_events_are_in_order_of_time():
    events = list(busy().trace)
    assert all(one.time_s <= next_one.time_s for one, next_one in itertools.pairwise(events))
    started = {event.call: event.time_s for event in events if event.kind == "start"}
    for event in events:
        if event.kind in ("end", "cancel"):
            assert event.time_s >= started[event.call]


def test_lineage_leads_back_to_a_node_that_was_the_root():
    events = list(busy().trace)
    level_of = {event.node: event.level for event in events if event.node is not None}
    for event in events:
        if event.kind == "start" and event.parent in level_of:
            assert event.level == (level_of[event.parent] or 0) + 1
    committed = [event.node for event in events if event.kind == "commit"]
    discarded = {event.node for event in events if event.kind == "discard"}
    assert len(set(committed)) == len(committed)
    assert not discarded & set(committed)
    assert any(event.parent is not None and event.probability < 1 for event in events if event.probability)


def test_episodes_effects_and_the_ranks_of_right_guesses_are_in_the_trace():
    trace = list(busy().trace)
    assert trace[0].kind == "reset"
    assert sum(event.kind == "reset" for event in trace) == 3
    assert {(event.handler, event.effect) for event in trace if event.kind == "start"} == {
        ("world", "sample"),
        ("policy", "sample"),
    }
    # Half guesses 0 first and then 1, of which one is always right
    assert {(event.outcome, event.rank) for event in trace if event.kind == "commit"} >= {("hit", 0), ("hit", 1)}
    assert all(event.rank is None for event in trace if event.outcome == "miss")
    assert {event.claims for event in trace if event.rank is not None} == {(0.5, 0.25)}


def test_ranks_are_in_the_trace_also_without_calibration():
    trace = busy(limits=Limits(calibrate=False)).trace
    assert {event.rank for event in trace if event.kind == "commit"} >= {0, 1}


def test_costs_of_calls_are_in_the_trace_and_add_up():
    env = busy()
    spent = Usage()
    for event in env.trace:
        if event.kind == "end":
            spent += Usage(event.tokens_in, event.tokens_out, event.money)
            if event.outcome == "done":
                assert (event.tokens_in, event.tokens_out) == ((10, 20) if event.handler == "world" else (0, 100))
    statistics = env.statistics
    total = statistics.committed + statistics.wasted
    assert (spent.tokens, spent.money) == pytest.approx((total.tokens, total.money))
    assert statistics.committed == Usage(tokens_in=250, tokens_out=25 * 20 + 25 * 100, money=12.5)
    assert 0 < statistics.wasted.tokens < statistics.wasted_full.tokens
    assert "money     12.5 used" in str(statistics)


# Files.


def test_jsonl_holds_every_event_whole(tmp_path: Path):
    trace = busy().trace
    trace.to_jsonl(tmp_path / "trace.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(trace)
    for line, event in zip(lines, trace, strict=True):
        for name in ("time_s", "kind", "handler", "node", "parent", "level", "call", "outcome", "speculative"):
            # What is None may be left out; zero and False say something: the first node, an authoritative call.
            assert line.get(name) == getattr(event, name), (name, line)


def test_chrome_trace(tmp_path: Path):
    trace = busy().trace
    trace.to_chrome(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    starts = [event for event in trace if event.kind == "start"]
    ends = {event.call: event for event in trace if event.kind == "end"}
    bars = [event for event in events if event["ph"] == "X"]
    marks = [event for event in events if event["ph"] == "i"]
    assert len(bars) == len(starts)
    assert len(marks) == sum(event.kind in ("commit", "divergence") for event in trace)
    lanes: dict[int, list[tuple[float, float]]] = collections.defaultdict(list)
    for bar, start in zip(bars, starts, strict=True):
        assert (bar["name"], bar["cat"]) == (
            start.handler,
            "speculative" if start.speculative else "authoritative",
        )
        assert bar["ts"] == pytest.approx(start.time_s * 1e6)
        assert bar["dur"] == pytest.approx((ends[start.call].time_s - start.time_s) * 1e6)
        lanes[bar["tid"]].append((bar["ts"], bar["ts"] + bar["dur"]))
    assert len(lanes) > 1
    for lane in lanes.values():
        lane.sort()
        for (_, until), (since, _) in itertools.pairwise(lane):
            assert until <= since + 1e-3, "bars overlap in a lane"
    assert {bar["tid"] for bar in bars if bar["cat"] == "authoritative"} == {0}


def test_a_trace_of_nothing_is_a_file_too(tmp_path: Path):
    Trace().to_jsonl(tmp_path / "trace.jsonl")
    Trace().to_chrome(tmp_path / "trace.json")
    assert (tmp_path / "trace.jsonl").read_text(encoding="utf-8") == ""
    assert json.loads((tmp_path / "trace.json").read_text(encoding="utf-8")) == {"traceEvents": []}


def test_only_the_last_events_are_kept(tmp_path: Path):
    env, whole = busy(max_trace_events=50), busy()
    assert len(env.trace) == 50
    assert list(env.trace) == list(whole.trace)[-50:]
    assert env.statistics == whole.statistics
    env.trace.to_chrome(tmp_path / "trace.json")


def test_errors_of_calls_and_guessers_are_in_the_trace():
    class Broken:
        def guess(self, call: Call, k: int) -> list[Guess]:
            raise ValueError("no idea")

    def fails(query: Any, cancel: CancelToken) -> int:
        cancel.sleep(1.0)
        raise OSError("offline")

    with make(FakeEnv({"world": fails}), with_latency(choose, 1.0), guessers={"policy": Broken()}) as env:
        observation, _ = env.reset(seed=0)
        action = env.act(observation)
        with pytest.raises(OSError, match="offline"):
            env.step(action)
    errors = {(event.kind, event.error) for event in env.trace if event.error}
    assert errors == {("guess", "ValueError('no idea')"), ("end", "OSError('offline')")}
    assert env.statistics.guesses["failed"] >= 1


# By hand.


def test_figures_of_one_step_worked_out_by_hand():
    """The policy takes 4 s and 100 tokens, the world 2 s and 30; the guesser 1 s and 10.

    The policy is guessed (two guesses) at 0 s, when the root is there; at 1 s the world's call starts for both actions.
    At 3 s both have their responses, at 4 s the policy says 1, its second guess. The step then waits for nothing.
    """
    said = {1: 0}

    class Both:
        def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
            cancel.sleep(1.0, Usage(tokens_in=10))
            return [Guess(0, 0.6), Guess(1, 0.4)]

    def think(observation: Any, cancel: CancelToken) -> int:
        cancel.sleep(4.0, Usage(tokens_out=100))
        return 1

    def answer(query: Any, cancel: CancelToken) -> int:
        cancel.sleep(2.0, Usage(tokens_in=30))
        return said[1]

    with make(FakeEnv({"world": answer}, length=1), think, guessers={"policy": Both()}) as env:
        play(env, env.act)
        statistics = env.statistics
    assert (statistics.commits, statistics.windows, statistics.hits) == (2, 1, 1)
    assert (statistics.sequential_s, statistics.waited_s, statistics.saved_s) == (6.0, 4.0, 2.0)
    assert statistics.saved == pytest.approx(1 / 3)
    assert statistics.calls == {"committed": 2, "wasted": 1, "cancelled": 0, "failed": 0, "open": 0}
    assert statistics.guesses == {"done": 1, "open": 0}
    assert (statistics.committed.tokens, statistics.wasted.tokens, statistics.guessing.tokens) == (130, 30, 10)
    assert statistics.tokens_full == statistics.tokens_partial == pytest.approx(170 / 130)


def test_a_cancelled_call_is_charged_for_the_part_that_ran_and_in_full():
    """As above, but the world takes 6 s: its wrong call is stopped at 4 s, after half of its time and tokens."""

    class Both:
        def guess(self, call: Call, k: int) -> list[Guess]:
            return [Guess(0, 0.6), Guess(1, 0.4)]

    def think(observation: Any, cancel: CancelToken) -> int:
        cancel.sleep(3.0, Usage(tokens_out=100))
        return 1

    def answer(query: Any, cancel: CancelToken) -> int:
        cancel.sleep(6.0, Usage(tokens_in=30, money=1.0))
        return 0

    with make(FakeEnv({"world": answer}, length=1), think, guessers={"policy": Both()}) as env:
        play(env, env.act)
        statistics = env.statistics
    assert statistics.calls == {"committed": 2, "wasted": 0, "cancelled": 1, "failed": 0, "open": 0}
    assert (statistics.sequential_s, statistics.waited_s) == (9.0, 6.0)
    assert statistics.wasted == Usage(tokens_in=15, money=0.5)
    assert statistics.wasted_full == Usage(tokens_in=30, money=1.0)
    assert statistics.tokens_partial == pytest.approx(145 / 130)
    assert statistics.tokens_full == pytest.approx(160 / 130)
    figures = statistics.as_dict()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["saved"] == pytest.approx(1 / 3)
