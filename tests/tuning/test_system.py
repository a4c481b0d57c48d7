"""Settings of the system: only with permission, only what is declared, and never from a branch."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import CancelToken, Effect, Guess
from spec_envs.errors import HandlerFailed, InvalidAction, InvalidConfiguration
from spec_envs.tuning.backends.live_system import LiveBackend
from spec_envs.tuning.backends.system_settings import FileReads, PageTouches, SystemBackend
from spec_envs.tuning.env import TuningEnv
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics
from spec_envs.wrappers import SpeculativeWrapper
from tests.tuning.systems import Scratch, scratch, shown


def make(workload: Scratch, folder: Path) -> SystemBackend:
    return SystemBackend(workload, allow_system=True, journal=folder / "journal")


class TestSystemBackend:
    def test_applies_measures_and_puts_back(self, tmp_path):
        workload = scratch(tmp_path)
        backend = make(workload, tmp_path)
        env = gym.make("SpecTuning-v0", backend=backend, start={"number": 10}).unwrapped
        _, info = env.reset(seed=0)
        assert shown(workload) == ("10", "madvise")
        assert info["p95"] == 10.0
        _, reward, *_, info = env.step('{"number": 20, "word": "always"}')
        assert shown(workload) == ("20", "always")
        assert info["p95"] == 20.0
        assert reward == pytest.approx(-0.6931, abs=1e-4)
        assert info["best"] is None
        assert info["regret"] is None
        backend.close()
        backend.close()
        assert shown(workload) == ("7", "never")

    def test_values_out_of_range_are_refused_before_anything_is_written(self, tmp_path):
        workload = scratch(tmp_path)
        env = TuningEnv(backend=make(workload, tmp_path))
        env.reset(seed=0)
        for action in ({"number": 101}, {"other": 1}, '{"word": "sometimes"}'):
            with pytest.raises(InvalidAction):
                env.step(action)
        assert shown(workload) == ("50", "madvise")
        env.backend.close()

    def test_a_setting_that_reads_otherwise_is_an_error(self, tmp_path):
        workload = scratch(tmp_path)
        path = Path(workload.files["number"])
        path.unlink()
        path.symlink_to("/dev/null")  # takes every value, and shows none
        with make(workload, tmp_path)._journal, pytest.raises(HandlerFailed, match="number"):
            backend = SystemBackend(workload, allow_system=True, journal=tmp_path / "other")
            try:
                gym.make("SpecTuning-v0", backend=backend).reset(seed=0)
            finally:
                path.unlink()
                path.write_text("")
                backend.close()

    def test_needs_the_users_word(self, tmp_path):
        with pytest.raises(InvalidConfiguration, match=r"allow_system=True.*backend=\"simulated\""):
            SystemBackend(scratch(tmp_path))
        with pytest.raises(InvalidConfiguration, match=r"allow_system=True"):
            gym.make("SpecTuning-v0", backend="sysctl", workload=PageTouches())

    @pytest.mark.parametrize("word", ["no", 1])
    def test_only_true_is_the_users_word(self, word, tmp_path):
        with pytest.raises(InvalidConfiguration, match="allow_system=True"):
            SystemBackend(scratch(tmp_path), allow_system=word)

    def test_a_choice_may_be_several_figures(self, tmp_path):
        limits = Knob("limits", "choice", choices=("4096 87380 6291456", "4096 87380 4096"))
        (tmp_path / "limits").write_text("4096\t87380\t6291456\n")

        class Kernel(Scratch):
            def run(self, query: MeasureQuery, cancel: Any) -> Metrics:
                path = tmp_path / "limits"
                path.write_text(path.read_text().replace(" ", "\t"))  # as /proc/sys shows them
                return Metrics.of([1.0], 1.0)

        backend = make(Kernel(str(tmp_path), (limits,)), tmp_path)
        env = gym.make("SpecTuning-v0", backend=backend)
        env.reset(seed=0)
        env.step({"limits": 1})
        backend.close()
        assert (tmp_path / "limits").read_text().split() == ["4096", "87380", "6291456"]

    def test_a_knob_without_a_file_is_refused_before_anything_is_locked(self, tmp_path):
        class Undeclared(Scratch):
            files: Any = {}

        with pytest.raises(InvalidConfiguration, match="scratch declares no file for 'number', only {}"):
            make(Undeclared(scratch(tmp_path).folder), tmp_path)
        assert not (tmp_path / "journal").exists()

    def test_files_are_read_somewhere(self):
        with pytest.raises(InvalidConfiguration, match="there is no folder '/missing'"):
            _ = FileReads("/missing").files
        with pytest.raises(InvalidConfiguration, match="megabytes must be an integer of at least 1, not 0"):
            FileReads(megabytes=0)

    def test_no_permission_names_what_works_without(self, tmp_path, monkeypatch):
        workload = scratch(tmp_path)
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everything
        with pytest.raises(InvalidConfiguration, match=r"may not be written by user \d+; backend=\"simulated\""):
            make(workload, tmp_path)

    def test_a_missing_setting_names_what_works_without(self, tmp_path):
        with pytest.raises(InvalidConfiguration, match=r"there is no .*/number on this machine; backend=\"simulated\""):
            make(Scratch(str(tmp_path)), tmp_path)

    def test_every_setting_of_its_own_workloads_is_declared(self, tmp_path):
        for workload in (PageTouches(), FileReads(str(tmp_path))):
            try:
                files = workload.files
            except InvalidConfiguration:
                continue  # the scratch folder is on no disk
            assert set(files) == {knob.name for knob in workload.knobs}
            assert all(path.startswith(("/sys/", "/proc/sys/")) for path in files.values())

    @pytest.mark.parametrize("kind", [PageTouches, FileReads])
    def test_its_workloads_run_under_whatever_is_set(self, kind):
        workload = FileReads(megabytes=1) if kind is FileReads else PageTouches()
        query = MeasureQuery(workload, (), 0, 0, 0.05, 0.01)
        metrics = workload.run(query, CancelToken())
        assert metrics.valid
        assert 0 < metrics.p50 <= metrics.p95 <= metrics.p99 <= metrics.max
        assert 0 <= metrics.cpu_share <= 1


class Anything:
    """Guesses, with certainty, whatever the policy could say."""

    def guess(self, call: Any, k: int) -> list[Guess]:
        return [Guess({"number": number}, 0.3) for number in (60, 61, 62)][:k]


def test_a_branch_never_writes_a_setting(tmp_path):
    """While the policy thinks, its settings are guessed, rightly too; the machine sees only what was really asked."""
    workload = scratch(tmp_path)
    backend = make(workload, tmp_path)
    assert backend.effect is Effect.WRITE
    written: list[str] = []
    real = backend._journal.write

    def write(path: str, text: str) -> None:
        written.append(text)
        real(path, text)

    backend._journal.write = write  # type: ignore[method-assign]

    def policy(observation: Any, cancel: CancelToken) -> dict[str, int]:
        cancel.sleep(10)
        return {"number": 60 + int(observation["window"][0]) % 2}

    env = SpeculativeWrapper(
        gym.make("SpecTuning-v0", backend=backend, windows=4),
        policy=policy,
        guessers={"policy": Anything(), "measure": Anybody()},
        runtime="simulation",
    )
    with env:
        observation, _ = env.reset(seed=0)
        done = False
        while not done:
            observation, _, _, done, _ = env.step(env.act(observation))
        calls = env.statistics.calls
    backend.close()
    assert [text for text in written if text.isdigit()] == ["50", "60", "61", "60", "61"]
    assert calls["committed"] == 5 + 4
    assert sum(calls.values()) > 5 + 4  # the policy did run ahead, behind guesses of what would be measured


class Anybody:
    """Guesses a measurement that never comes."""

    def guess(self, call: Any, k: int) -> list[Guess]:
        return [Guess(Measurement(Metrics.of([1.0], 1.0)), 0.5)]


@dataclasses.dataclass(frozen=True, slots=True)
class Cache:
    """A workload of a third party: it declares its knob, and the environment has never heard of either."""

    knobs: tuple[Knob, ...]
    name: str = "a cache of my own"

    def run(self, query: MeasureQuery, cancel: CancelToken) -> Metrics:
        return Metrics.of([1000.0 / dict(query.knobs)["entries"]], query.window_s)  # type: ignore[operator]


@dataclasses.dataclass(frozen=True, slots=True)
class Live:
    """A workload that does not care."""

    knobs: tuple[Knob, ...]
    name: str = "live"

    def run(self, query: MeasureQuery, cancel: CancelToken) -> Metrics:
        return Metrics.of([1.0], 1.0)


#: A process that sets a knob and never closes the backend.
FORGETFUL = """
import dataclasses
import gymnasium as gym
import spec_envs
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.backends.live_system import LiveBackend
from spec_envs.tuning.measurement import Metrics

system = [7]

def apply(value):
    system[0] = value
    print("set to", value)

@dataclasses.dataclass(frozen=True)
class Live:
    name: str = "live"
    knobs: tuple = (Knob("knob", "int", 1, 10, default=3, apply=apply, read=lambda: system[0]),)

    def run(self, query, cancel):
        return Metrics.of([1.0], 1.0)

gym.make("SpecTuning-v0", backend=LiveBackend(Live())).reset(seed=0)
"""


class TestLiveBackend:
    def test_a_third_party_adds_a_knob_and_a_workload(self):
        system = {"entries": 3}
        knob = Knob(
            "entries",
            "int",
            1,
            1000,
            log=True,
            apply=lambda value: system.update(entries=value),
            read=lambda: system["entries"],
        )
        backend = LiveBackend(Cache((knob,)))
        env = gym.make("SpecTuning-v0", backend=backend, action_format="box")
        env.reset(seed=0)
        _, reward, *_, info = env.step([1.0])
        assert system == {"entries": 1000}
        assert info["p95"] == 1.0
        assert float(reward) > 0
        env.close()
        backend.close()
        assert system == {"entries": 3}

    def test_a_knob_that_does_not_take_is_an_error(self):
        knob = Knob("entries", "int", 1, 10, apply=lambda value: None, read=lambda: 3)
        backend = LiveBackend(Cache((knob,)))
        with pytest.raises(HandlerFailed, match="entries was set to 5, but reads 3"):
            gym.make("SpecTuning-v0", backend=backend, start={"entries": 5}).reset(seed=0)

    def test_a_knob_that_cannot_be_put_back_does_not_keep_the_others_from_it(self):
        system = {"one": 1, "two": 1}

        def knob(name: str) -> Knob:
            return Knob(name, "int", 1, 10, apply=lambda value: apply(name, value), read=lambda: system[name])

        def apply(name: str, value: Any) -> None:
            if closing and name == "two":
                raise OSError("gone")
            system[name] = value

        closing = False
        backend = LiveBackend(Live((knob("one"), knob("two"))))
        gym.make("SpecTuning-v0", backend=backend, start={"one": 5, "two": 5}).reset(seed=0)
        closing = True
        with pytest.raises(OSError, match="gone"):
            backend.close()
        assert system == {"one": 1, "two": 5}
        backend.close()

    def test_what_was_set_is_put_back_at_the_end_of_the_process(self):
        done = subprocess.run([sys.executable, "-W", "error", "-c", FORGETFUL], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "set to 3\nset to 7\n"

    def test_a_forked_child_puts_nothing_back(self):
        done = subprocess.run(
            [sys.executable, "-c", f"{FORGETFUL}\nimport os, sys\nif not os.fork(): sys.exit()\nos.wait()"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("set to 7") == 1

    def test_a_knob_without_apply_is_refused(self):
        with pytest.raises(InvalidConfiguration, match="entries needs apply and read"):
            LiveBackend(Cache((Knob("entries", "int", 1, 10),)))

    def test_writes_unless_its_owner_says_otherwise(self):
        assert LiveBackend(Cache(())).effect is Effect.WRITE
        assert LiveBackend(Cache(()), effect=Effect.SAMPLE).effect is Effect.SAMPLE
