"""What is known of handlers outlives a wrapper: in the process, and in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spec_envs import Call, Guess
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.testing import pure_response
from spec_envs.usage import Usage
from spec_envs.wrappers import Limits, SimulationRuntime
from spec_envs.wrappers.estimates import CallEstimate, Estimates
from spec_envs.wrappers.kept_estimates import load, save
from spec_envs.wrappers.speculation.timing.guard import Guard, Mode, Record
from tests.wrappers.loops import PERFECT, make, play, slow_fake

RECORD = Record(plain_s=0.5, calls_s=0.4, call_s=0.2, cpu=0.1, machinery_s=0.001, pays=True, failures=0)


def known() -> Estimates:
    estimates = Estimates(guard=RECORD)
    for seconds in (1.0, 2.0):
        estimates.crowds["world"].took(seconds, own=0, others=0)
    for _ in range(3):
        estimates.crowds["policy"].took(1.0, own=0, others=0)
    estimates.crowds["policy"].is_single()
    estimates.accounts["tokens"].spent = 5.0
    estimates.calls["world"] = CallEstimate()
    estimates.calls["world"].add(2.0, Usage(3, 4, 0.5))
    return estimates


def test_a_file_holds_what_is_known(tmp_path: Path) -> None:
    save(known(), tmp_path / "deep" / "known.json")
    read = load(tmp_path / "deep" / "known.json")
    assert read.guard == RECORD
    assert list(read.calls["world"].seconds) == [2.0] and read.calls["world"].most == Usage(3, 4, 0.5)
    assert {name: each.as_dict() for name, each in read.crowds.items()} == {
        name: each.as_dict() for name, each in known().crowds.items()
    }
    assert read.accounts["tokens"].spent == 5.0
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "known.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "guard": {"plain_s": 1}}'])
def test_a_file_with_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    path.write_text(text)
    with pytest.raises(InvalidConfiguration, match="holds no estimates of this version"):
        make(guessers=PERFECT, estimates=path)
    assert path.read_text() == text


def policy(observation: Any, cancel: CancelToken) -> int:
    cancel.sleep(1.0)
    return 0


class Policy:
    """A policy that can be forgotten."""

    def __call__(self, observation: Any, cancel: CancelToken) -> int:
        return policy(observation, cancel)


def cycles_until_ahead(**options: Any) -> int:
    with make(slow_fake(length=6), guessers=PERFECT, guard=True, **options) as env:
        play(env, env.act)
    starts = [event for event in env.trace if event.kind == "start" and event.handler == "policy"]
    return next((number for number, event in enumerate(starts) if event.call is not None and event.call >= 0), -1)


def test_a_later_wrapper_of_a_policy_runs_ahead_at_once() -> None:
    thinker = Policy()
    assert cycles_until_ahead(policy=thinker) == 1
    assert cycles_until_ahead(policy=thinker) == 0
    assert cycles_until_ahead(policy=Policy()) == 1  # nothing is known of another one


def test_a_file_spares_the_start_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    assert cycles_until_ahead(policy=Policy(), estimates=path) == 1
    assert json.loads(path.read_text())["guard"]["pays"]
    assert cycles_until_ahead(policy=Policy(), estimates=str(path)) == 0


def test_what_a_later_wrapper_learns_does_not_change_an_earlier_one() -> None:
    thinker = Policy()
    with make(slow_fake(length=6), thinker, guessers=PERFECT, guard=True) as first:
        play(first, first.act)
        with make(slow_fake(length=6), thinker, guessers=PERFECT, guard=True) as second:
            play(second, second.act)
            play(first, first.act)


class Boaster:
    """Is sure, and never right."""

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(pure_response(call.query) + 1, 0.9)]


class OtherBoaster(Boaster):
    pass


def in_vain(guesser: Boaster, path: Path) -> int:
    with make(slow_fake(length=40), guessers={"world": guesser}, estimates=path) as env:
        play(env, env.act)
    return env.statistics.calls["wasted"] + env.statistics.calls["cancelled"]


def test_a_file_says_how_far_a_guesser_can_be_relied_on(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    at_first = in_vain(Boaster(), path)
    assert in_vain(Boaster(), path) == 0 < at_first
    assert in_vain(OtherBoaster(), path) == at_first  # nothing is known of another kind of guesser
    for number in range(20):
        in_vain(type(f"Boaster{number}", (Boaster,), {})(), path)
    assert len(json.loads(path.read_text())["calibrations"]) == 16
    assert in_vain(Boaster(), path) == at_first  # was used long ago


@pytest.mark.parametrize("wrong", [1, [], object])
def test_estimates_are_estimates_or_a_path(wrong: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="estimates must be"):
        make(estimates=wrong)


@pytest.mark.parametrize("name", ["", "kept", "missing/known.json", "a file/known.json"])
def test_a_path_that_is_no_file_is_told_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "a file").write_text("")
    with pytest.raises(InvalidConfiguration, match="not of the folder|there is no folder"):
        make(estimates=tmp_path / name)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a file", "kept"]


def test_a_file_that_cannot_be_written_is_told_when_all_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    env = make(estimates=folder / "known.json")
    play(env, env.act)
    folder.rmdir()
    folder.write_text("")
    with pytest.warns(RuntimeWarning, match=r"known\.json' cannot be written"):
        env.close()
    assert env.statistics.saved is not None


@pytest.mark.parametrize("name", ["limits", "runtime", "rehearse", "guard"])
@pytest.mark.parametrize("wrong", [3, {"max_inflight": 3}, "yes", Limits, SimulationRuntime])
def test_options_of_another_type_are_named(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=f"^{name} must be .*, not "):
        make(**{name: wrong})


def test_a_guard_that_has_failed_before_begins_plainly() -> None:
    assert Guard(record=Record(0.03, 0.02, 0.02, 0.0, 0.002, pays=False, failures=2)).mode is Mode.PLAIN
