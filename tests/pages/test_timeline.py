"""From a trace to its timeline, and to the page that shows it."""

from __future__ import annotations

import json
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import spec_envs  # noqa: F401  (registers the environments)
from spec_envs.agents import BuiltinChessGuesser, BuiltinChessPolicy
from spec_envs.benchmarks.cli import main
from spec_envs.brief import MAX_LENGTH, brief
from spec_envs.errors import InvalidConfiguration
from spec_envs.pages import page, timelines
from spec_envs.wrappers import SpeculativeWrapper, Trace
from spec_envs.wrappers.handlers import with_latency


def event(time_s: float, kind: str, handler: str = "policy", **more: Any) -> dict[str, Any]:
    return {"time_s": time_s, "kind": kind, "handler": handler} | more


#: The episode waits for call 0 from 0 to 4 s; call 1 is made ahead on the guess "a" and is used at once when call 0 has
#: said "a", as its response is there; call 2 rests on the guess "b" and is stopped; call 3 is done and never used.
EVENTS = [
    event(10.0, "reset"),
    event(10.0, "start", call=0, node=0, speculative=False, query="?"),
    event(10.0, "observe", response="first", view="dialogue"),
    event(10.5, "start", "user", call=1, node=1, parent=0, speculative=True, probability=0.5, guess="a"),
    event(10.5, "start", "user", call=2, node=2, parent=0, speculative=True, probability=0.25, guess="b"),
    event(11.0, "start", "policy", call=3, node=3, parent=1, speculative=True, probability=0.1, guess="x"),
    event(12.0, "end", "policy", call=3, node=3, outcome="done", response="never"),
    event(13.0, "end", "user", call=1, node=1, outcome="done", response="y", tokens_in=3, tokens_out=4),
    event(14.0, "end", call=0, node=0, outcome="done", response="a"),
    event(14.0, "commit", call=0, node=0, outcome="hit", rank=0),
    event(14.0, "commit", "user", call=1, node=1, outcome="miss"),
    event(14.0, "cancel", "user", call=2, node=2),
    event(14.5, "end", "user", call=2, outcome="stopped"),
]


def test_calls_have_their_outcomes_lanes_and_guesses():
    [episode] = timelines(EVENTS)
    assert [(call.id, call.outcome, call.ahead, call.lane, call.path) for call in episode.calls] == [
        (0, "committed", False, 0, None),
        (1, "committed", True, 1, ["a"]),
        (2, "cancelled", True, 2, ["b"]),
        (3, "wasted", True, 3, ["a", "x"]),
    ]
    assert (episode.seconds, episode.plain_seconds) == (4.0, 4.0 + 2.5)
    assert [(bar.handler, bar.start, bar.end) for bar in episode.plain] == [("policy", 0, 4), ("user", 4, 6.5)]
    assert [(commit.time, commit.response, commit.rank) for commit in episode.commits] == [(4, "a", 0), (4, "y", None)]
    assert (episode.view, episode.begin) == ("dialogue", "first")


def test_every_reset_begins_an_episode_and_empty_ones_are_left_out():
    late = [dict(each, time_s=each["time_s"] + 100) for each in EVENTS]
    assert [each.name for each in timelines([*EVENTS, event(50, "reset"), *late], "game")] == ["game 1", "game 2"]


def test_a_trace_that_lost_its_beginning_is_shown_from_there():
    [episode] = timelines(EVENTS[4:])
    assert [call.id for call in episode.calls] == [2, 3]


def test_what_is_no_event_is_refused():
    with pytest.raises(InvalidConfiguration, match="is not an event of a trace"):
        timelines([{"kind": "start"}])


def test_a_response_cannot_end_the_data_of_the_page():
    harmful = "</script><script>alert(1)</script> <!-- \u2028"
    text = page("<b>Title", timelines([*EVENTS[:8], event(14.0, "end", call=0, outcome="done", response=harmful)]))
    assert harmful not in text
    assert "<title>&lt;b&gt;Title</title>" in text
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert harmful in {call.get("response") for call in json.loads(data)["episodes"][0]["calls"]}


def play_chess(trace: Path | None = None) -> Trace:
    engine = BuiltinChessGuesser()
    env = SpeculativeWrapper(
        gym.make("SpecChess-v0", opponent="builtin", max_plies=6),
        policy=with_latency(BuiltinChessPolicy(), 1.0),
        guessers={"policy": engine, "opponent": engine},
        runtime="simulation",
    )
    env.trace.stream(trace)
    observation, _ = env.reset(seed=0)
    done = False
    while not done:
        observation, _, terminated, truncated, _ = env.step(env.act(observation))
        done = terminated or truncated
    env.close()
    env.trace.stream(None)
    return env.trace


def test_a_game_is_told_in_moves(tmp_path):
    trace = play_chess()
    [episode] = timelines(each.as_dict() for each in trace)
    assert episode.view == "chess"
    assert episode.begin is not None and episode.begin.startswith("rnbqkbnr/pppppppp/")
    assert all(re.fullmatch("[a-h][1-8][a-h][1-8][qrbn]?", commit.response or "") for commit in episode.commits)
    assert len(episode.commits) == 6
    trace.to_html(tmp_path / "trace.html", "A game")
    assert "<title>A game</title>" in (tmp_path / "trace.html").read_text("utf-8")
    assert "srcdoc=" in trace._repr_html_()


def test_a_streamed_trace_is_the_written_one_and_the_command_makes_its_page(tmp_path):
    live, written, out = tmp_path / "live.jsonl", tmp_path / "written.jsonl", tmp_path / "page.html"
    play_chess(live).to_jsonl(written)
    assert live.read_text("utf-8") == written.read_text("utf-8")
    done = CliRunner().invoke(main, ["trace", str(live), str(written), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "2 episodes" in done.output
    assert out.stat().st_size < 3_000_000


def test_a_running_program_is_followed(tmp_path):
    file = tmp_path / "live.jsonl"
    command = [sys.executable, "-m", "spec_envs.benchmarks.cli", "trace", "--follow", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as program:
        assert program.stdout is not None
        begin = [program.stdout.readline() for _ in range(2)]  # before there is a file
        file.write_text("".join(json.dumps(each) + "\n" for each in EVENTS), "utf-8")
        first, second = (program.stdout.readline() for _ in range(2))
        program.send_signal(signal.SIGINT)
        assert program.wait() == 0
    assert begin == [
        f"following {file}; end with Ctrl-C\n",
        f"waiting for {file}, which a program is to write by Trace.stream\n",
    ]
    assert first.split() == ["4.00", "s", "policy", "guessed", "saved", "0.0%", "a"]
    assert second.split() == ["4.00", "s", "user", "not", "guessed", "saved", "38.5%", "y"]


class Renamed(gym.ObservationWrapper[Any, Any, Any]):
    """Leaves an observation of ``SpecRetail-v0`` with the same names, and other things under them."""

    def observation(self, observation: Any) -> Any:
        return {**observation, "dialogue": "nothing"}


def test_an_observation_that_the_environment_cannot_read_harms_no_episode():
    env = SpeculativeWrapper(
        Renamed(gym.make("SpecRetail-v0", task_index=0)), policy=lambda seen: "Hello", runtime="simulation"
    )
    observation, _ = env.reset(seed=0)
    env.step(env.act(observation))
    env.close()
    [start] = [each for each in env.trace if each.kind == "start" and each.handler == "policy"][:1]
    assert start.query is not None and "nothing" in start.query


def test_a_trace_is_pickled_without_those_that_listen(tmp_path):
    trace = play_chess()
    trace.stream(tmp_path / "later.jsonl")
    copy = pickle.loads(pickle.dumps(trace))
    trace.stream(None)
    assert [*copy] == [*trace]


@pytest.mark.parametrize("line", ["not JSON", "[1]", '{"kind": "start"}'], ids=["text", "list", "no-time"])
def test_a_file_that_is_no_trace_is_named_with_its_line(tmp_path, line):
    file = tmp_path / "other.jsonl"
    file.write_text('{"kind": "reset", "time_s": 0}\n' + line, "utf-8")
    done = CliRunner().invoke(main, ["trace", str(file), "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 2
    assert "other.jsonl, line 2" in done.output


class Odd(list[int]):
    def __len__(self) -> int:
        raise ValueError("no length")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(Odd()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
)


@given(VALUES)
def test_every_value_has_a_short_text(value):
    assert len(brief(value)) <= MAX_LENGTH


def test_secrets_are_hidden():
    text = brief({"api_key": "sk-1", "headers": {"Authorization": "sk-2"}, "max_tokens": 7})
    assert "sk-" not in text
    assert "7" in text


def test_a_policy_that_waits_for_nothing_has_texts_too():
    env = SpeculativeWrapper(gym.make("CartPole-v1"), policy=lambda seen: 1, max_inflight=0)
    observation, _ = env.reset(seed=0)
    env.step(env.act(observation))
    env.close()
    [episode] = timelines(each.as_dict() for each in env.trace)
    assert [(commit.handler, commit.response and commit.response[:1]) for commit in episode.commits] == [
        ("policy", "1"),
        ("step", "["),
    ]
