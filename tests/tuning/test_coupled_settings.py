"""Settings that refuse, clamp, reset or fight each other: all are set, or an error says why, and all come back."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.tuning import journal as journals
from spec_envs.tuning.backends.live_system import LiveBackend
from spec_envs.tuning.backends.system_settings import SystemBackend
from spec_envs.tuning.journal import Journal, read_file
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import MeasureQuery, Metrics

FOUND = {
    "runtime": "950000",
    "period": "1000000",
    "least": "800",
    "most": "3000",
    "scheduler": "[none] mq-deadline bfq",
    "nr_requests": "64",
    "wbt_lat_usec": "2000",
    "read_ahead": "128",
    "limits": "4096\t87380\t6291456",
    "pattern": "|/bin/dump [a] %p",
    "fixed": "1",
    "stubborn": "7",
    "left": "0",
    "right": "1",
}


def kernel_write(path, text):
    """What a kernel does with ``text``; takes the place of the journal's own ``_write``."""
    file = Path(path)
    now = {each.name: read_file(str(each)) for each in file.parent.iterdir() if each.is_file()}

    def refuse(reason="Invalid argument"):
        raise HandlerFailed(f"{text!r} cannot be written to {path}: {reason}")

    match file.name:
        case "runtime" if int(text) > int(now["period"]):
            refuse()
        case "period" if int(text) < int(now["runtime"]):
            refuse()
        case "least":  # clamped, silently
            text = str(min(int(text), int(now["most"])))
        case "most":
            text = str(max(int(text), int(now["least"])))
        case "read_ahead":
            text = str(int(text) // 4 * 4)
        case "fixed":
            refuse("Permission denied")
        case "stubborn" if text == "7":
            refuse()
        case "left" | "right":
            (file.parent / ("right" if file.name == "left" else "left")).write_text(f"{1 - int(text)}\n")
        case "scheduler":
            if text != now["scheduler"]:
                (file.parent / "nr_requests").write_text("256\n")
                (file.parent / "wbt_lat_usec").write_text("0\n")
            text = " ".join(f"[{each}]" if each == text else each for each in ("none", "mq-deadline", "bfq"))
    file.write_text(f"{text}\n".replace(" ", "\t") if file.name == "limits" else f"{text}\n")


class Machine:
    """A workload under the settings that are named, each with a knob that takes what the test sets."""

    name = "machine"

    def __init__(self, folder, wanted):
        self.files = {name: str(folder / name) for name in wanted}
        self.knobs = tuple(
            Knob(name, "choice", choices=(value, "other"))
            if isinstance(value, str)
            else Knob(name, "int", 0, max(1, value), steps=2)
            for name, value in wanted.items()
        )

    def run(self, query, cancel):
        return Metrics.of([1.0], 1.0)


def asking(machine, wanted):
    return MeasureQuery(machine, tuple(wanted.items()), 0, 0, 1.0, 0.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "sys").mkdir()
    monkeypatch.setattr(journals, "_write", kernel_write)
    return reset(tmp_path / "sys")


def reset(folder):
    for name, value in FOUND.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def values(folder):
    return {name: (folder / name).read_text().rstrip("\n") for name in FOUND}


TAKEN = {
    "a period below the runtime, period first": {"period": 500000, "runtime": 400000},
    "a period below the runtime, runtime first": {"runtime": 400000, "period": 500000},
    "a runtime above the period": {"runtime": 1500000, "period": 2000000},
    "bounds that are clamped, upwards": {"least": 3500, "most": 4000},
    "bounds that are clamped, downwards": {"most": 500, "least": 400},
    "a reset setting first": {"nr_requests": 128, "scheduler": "bfq"},
    "a reset setting last": {"scheduler": "bfq", "nr_requests": 128},
    "a setting that resets others": {"scheduler": "mq-deadline"},
    "several figures": {"limits": "4096 87380 4096"},
    "brackets that are no choice": {"pattern": "core"},
    "a multiple": {"read_ahead": 256},
    "all at once": {"period": 500000, "nr_requests": 2, "runtime": 4, "scheduler": "bfq", "least": 3001, "most": 3002},
}


@pytest.mark.parametrize("wanted", TAKEN.values(), ids=TAKEN)
def test_all_values_are_set_in_whatever_order_and_all_come_back(folder, tmp_path, wanted):
    machine = Machine(folder, wanted)
    with closing(SystemBackend(machine, allow_system=True, journal=tmp_path / "journal")) as backend:
        backend(asking(machine, wanted))
        assert {name: read_file(str(folder / name)).split() for name in wanted} == {
            name: str(value).split() for name, value in wanted.items()
        }
        journal = (tmp_path / "journal" / "journal.jsonl").read_text()
        changed = values(folder)
    assert values(folder) == FOUND
    # The same after a kill: the settings as they were left, and the journal as it was.
    for name, value in changed.items():
        (folder / name).write_text(f"{value}\n")
    (tmp_path / "journal" / "journal.jsonl").write_text(journal)
    with Journal(tmp_path / "journal") as owner:
        assert {os.path.basename(path) for path in owner.restored} >= set(wanted)
    assert values(folder) == FOUND


REFUSED = {
    "a value that is rounded": ({"read_ahead": 130}, "read_ahead was set to 130, but reads 128"),
    "a value that is clamped": ({"least": 5000}, "least was set to 5000, but reads 3000"),
    "a value that is never taken": ({"runtime": 1500000}, "cannot be written .*Invalid argument"),
    "a setting that is fixed": ({"fixed": 2}, "does not take back its own value: .*Permission denied"),
    "a setting that cannot be restored": ({"stubborn": 8}, "not changed, since it does not take back its own value"),
    "settings that fight": ({"left": 1, "right": 1}, "left was set to 1, but reads 0"),
    "one of several": ({"runtime": 1, "read_ahead": 130, "period": 2}, "read_ahead was set to 130, but reads 128"),
}


@pytest.mark.parametrize(("wanted", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_taken_is_an_error_and_all_comes_back(folder, tmp_path, wanted, message):
    machine = Machine(folder, wanted)
    with closing(SystemBackend(machine, allow_system=True, journal=tmp_path / "journal")) as backend:
        with pytest.raises(HandlerFailed, match=message):
            backend(asking(machine, wanted))
    assert values(folder) == FOUND
    Journal(tmp_path / "journal").close()  # the next backend starts


def test_one_setting_by_two_names_is_refused(folder, tmp_path):
    (tmp_path / "device").symlink_to(folder)
    machine = Machine(folder, {"runtime": 1, "period": 2})
    machine.files["period"] = str(tmp_path / "device" / "runtime")
    with pytest.raises(InvalidConfiguration, match="runtime and period are the same setting, .*/sys/runtime"):
        SystemBackend(machine, allow_system=True, journal=tmp_path / "journal")
    with Journal(tmp_path / "journal") as journal:
        journal.write(str(tmp_path / "device" / "runtime"), "5")
        journal.write(str(folder / "runtime"), "6")
    assert values(folder) == FOUND


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("vm.swappiness", r"there is no vm.swappiness on this machine \(.* as in /proc/sys/vm/swappiness\)"),
        ("/proc/sys/vm/no_such", "there is no /proc/sys/vm/no_such on this machine"),
        ("/proc/sys/vm", "/proc/sys/vm is a folder, not the file of a setting"),
    ],
)
def test_what_is_no_setting_is_told(folder, tmp_path, path, message):
    machine = Machine(folder, {"runtime": 1})
    machine.files["runtime"] = path
    with pytest.raises(InvalidConfiguration, match=message):
        SystemBackend(machine, allow_system=True, journal=tmp_path / "journal")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("always [madvise] never", "madvise"),
        ("[none] mq-deadline kyber", "none"),
        ("[none]", "none"),
        ("s2idle [deep]", "deep"),
        ("write back [write-through]", "write-through"),
        ("|/bin/dump [a] %p", "|/bin/dump [a] %p"),
        ("core.[x]", "core.[x]"),
        ("[a] [b]", "[a] [b]"),
        ("4096\t87380\t6291456", "4096\t87380\t6291456"),
        ("[]", "[]"),
        ("", ""),
        ("(none)", "(none)"),
    ],
)
def test_only_a_list_of_words_is_a_choice(tmp_path, text, value):
    (tmp_path / "setting").write_text(f"{text}\n")
    assert read_file(str(tmp_path / "setting")) == value


@settings(max_examples=30, deadline=None)
@given(
    st.permutations(["runtime", "period", "least", "most"]),
    st.integers(0, 2_000_000),
    st.integers(0, 2_000_000),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_knobs_of_a_live_system_in_any_order(names, one, other, low, high):
    found = {"runtime": 950000, "period": 1000000, "least": 3, "most": 6}
    system = dict(found)
    wanted = {"runtime": min(one, other), "period": max(one, other), "least": min(low, high), "most": max(low, high)}

    def apply(name, value):
        changed = system | {name: value}
        if changed["runtime"] > changed["period"]:
            raise OSError(22, "Invalid argument")
        if name == "least":
            changed["least"] = min(value, system["most"])
        if name == "most":
            changed["most"] = max(value, system["least"])
        system.update(changed)

    def knob(name):
        return Knob(
            name,
            "int",
            0,
            2_000_000,
            steps=2_000_001,
            apply=lambda value: apply(name, value),
            read=lambda: system[name],
        )

    class Live:
        name = "live"
        knobs = tuple(knob(name) for name in names)

        def run(self, query, cancel):
            return Metrics.of([1.0], 1.0)

    live = Live()
    backend = LiveBackend(live)
    backend(asking(live, {name: wanted[name] for name in names}))
    assert system == wanted
    backend.close()
    assert system == found
