"""Settings of which each overwrites the other come back as they were found, also when they were 0."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.tuning import journal as journals
from spec_envs.tuning.backends.system_settings import SystemBackend
from spec_envs.tuning.journal import Journal, read_file
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import MeasureQuery, Metrics

PAGE = 4096
#: The least values that the kernel takes.
LEAST = {"dirty_bytes": 2 * PAGE, "dirty_background_bytes": 1}
PAIRS = (
    ("dirty_bytes", "dirty_ratio"),
    ("dirty_background_bytes", "dirty_background_ratio"),
    ("overcommit_kbytes", "overcommit_ratio"),
)
OTHER = dict(PAIRS) | {ratio: size for size, ratio in PAIRS}


class Kernel:
    """A tree of files that behaves as /proc/sys/vm does; ``write`` takes the place of the journal's own."""

    def __init__(self, folder, **values):
        self.folder = folder
        self.refused = 0
        for name, value in values.items():
            (folder / name).write_text(f"{value}\n")

    def path(self, name):
        return str(self.folder / name)

    def values(self, *names):
        return tuple(int(Path(self.path(name)).read_text()) for name in names)

    def write(self, path, text):
        name = os.path.basename(path)
        if int(text) < LEAST.get(name, 0):
            self.refused += 1
            raise HandlerFailed(f"{text!r} cannot be written to {path}: Invalid argument")
        (before,) = self.values(name)
        Path(path).write_text(f"{text}\n")
        # The two without "background" overwrite only if they change, as in mm/page-writeback.c.
        if name in OTHER and (name not in ("dirty_bytes", "dirty_ratio") or before != int(text)):
            Path(self.path(OTHER[name])).write_text("0\n")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    def make(**values):
        (tmp_path / "vm").mkdir(exist_ok=True)
        made = Kernel(tmp_path / "vm", **values)
        monkeypatch.setattr(journals, "_write", made.write)
        return made

    return make


CASES = [
    # the setting that is changed, its value before, the other's value before, the values that it is set to
    pytest.param("dirty_bytes", 0, 20, (1 << 28,), id="bytes while the ratio counts"),
    pytest.param("dirty_bytes", 1 << 28, 0, (1 << 20, 1 << 21), id="bytes while they count"),
    pytest.param("dirty_bytes", 0, 0, (1 << 28,), id="bytes while both are 0"),
    pytest.param("dirty_ratio", 0, 268435456, (10,), id="ratio while the bytes count"),
    pytest.param("dirty_ratio", 20, 0, (0, 50), id="ratio while it counts"),
    pytest.param("dirty_ratio", 0, 0, (40,), id="ratio while both are 0"),
    pytest.param("dirty_ratio", 0, 2 * PAGE, (0,), id="ratio set to the 0 that it is"),
    pytest.param("dirty_background_bytes", 0, 10, (4096,), id="background bytes while the ratio counts"),
    pytest.param("dirty_background_bytes", 4096, 0, (1,), id="background bytes while they count"),
    pytest.param("dirty_background_bytes", 0, 0, (1,), id="background bytes while both are 0"),
    pytest.param("dirty_background_ratio", 0, 65536, (5, 6), id="background ratio while the bytes count"),
    pytest.param("dirty_background_ratio", 10, 0, (0,), id="background ratio set to 0"),
    pytest.param("overcommit_kbytes", 0, 50, (1 << 20,), id="kbytes while the ratio counts"),
    pytest.param("overcommit_kbytes", 1 << 20, 0, (0, 1), id="kbytes while they count"),
    pytest.param("overcommit_ratio", 0, 1 << 20, (80,), id="overcommit ratio while the kbytes count"),
    pytest.param("overcommit_ratio", 50, 0, (0,), id="overcommit ratio set to 0"),
]


@pytest.mark.parametrize("ending", ["closed", "killed"])
@pytest.mark.parametrize(("name", "before", "other_before", "values"), CASES)
def test_both_settings_come_back(kernel, name, before, other_before, values, ending, tmp_path):
    vm = kernel(**{name: before, OTHER[name]: other_before})
    journal = Journal(tmp_path / "journal")
    for value in values:
        journal.write(vm.path(name), str(value))
        assert vm.values(name) == (value,)
    if ending == "killed":
        copied = (tmp_path / "journal" / "journal.jsonl").read_text()
        changed = vm.values(name, OTHER[name])
        journal.close()
        (tmp_path / "journal" / "journal.jsonl").write_text(copied)
        for path, value in zip((name, OTHER[name]), changed, strict=True):
            Path(vm.path(path)).write_text(f"{value}\n")
        journal = Journal(tmp_path / "journal")
        assert set(journal.restored) == {vm.path(name), vm.path(OTHER[name])}
    journal.close()
    assert vm.values(name, OTHER[name]) == (before, other_before)
    assert (tmp_path / "journal" / "journal.jsonl").read_text() == ""
    Journal(tmp_path / "journal").close()  # the next backend starts


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_mixture_of_settings_comes_back(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    found = {"swappiness": 60}
    for size, ratio in PAIRS:
        counts = data.draw(st.sampled_from((size, ratio, None)))
        found |= {size: 0, ratio: 0}
        if counts is not None:
            found[counts] = data.draw(st.integers(1, 100)) * (2 * PAGE if counts == size else 1)
    (folder / "vm").mkdir()
    vm = Kernel(folder / "vm", **found)
    writes = data.draw(st.lists(st.tuples(st.sampled_from(sorted(found)), st.integers(0, 100)), max_size=12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journals, "_write", vm.write)
        journal = Journal(folder / "journal")
        for name, value in writes:
            try:
                journal.write(vm.path(name), str(value * (2 * PAGE if "bytes" in name else 1)))
            except HandlerFailed:
                assert value == 0
        journal.close()
    assert vm.values(*found) == tuple(found.values())


#: The value of a setting: one or several words, of any characters but those that the kernel uses itself.
WORDS = st.text(st.characters(blacklist_categories=("Z", "C"), blacklist_characters="[]"), min_size=1)


@settings(max_examples=60, deadline=None)
@given(old=st.lists(WORDS).map("\t".join) | st.integers().map(str), new=WORDS | st.integers().map(str))
def test_any_text_comes_back(old, new, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    path = folder / "setting"
    path.write_text(f"{old}\n", encoding="utf-8")
    with Journal(folder / "journal") as journal:
        journal.write(str(path), new)
        assert read_file(str(path)) == new
    assert read_file(str(path)) == old.strip()


@given(content=st.binary(max_size=40))
def test_any_bytes_are_read_and_come_back(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    path = folder / "setting"
    path.write_bytes(content)
    before = read_file(str(path))
    with Journal(folder / "journal") as journal:
        journal.write(str(path), "1")
    assert read_file(str(path)).split() == before.split()


def test_a_setting_alone_in_its_folder_overwrites_nothing(tmp_path):
    (tmp_path / "dirty_bytes").write_text("4096\n")
    with Journal(tmp_path / "journal") as journal:
        journal.write(str(tmp_path / "dirty_bytes"), "8192")
        assert (tmp_path / "journal" / "journal.jsonl").read_text().count("\n") == 1
    assert (tmp_path / "dirty_bytes").read_text() == "4096\n"


class Both:
    """A workload that sets two settings of which each overwrites the other."""

    name = "both"

    def __init__(self, folder, *names):
        self.knobs = tuple(Knob(name, "int", 1, 100) for name in names)
        self.files = {name: str(folder / name) for name in names}

    def run(self, query: MeasureQuery, cancel) -> Metrics:
        return Metrics.of([1.0], 1.0)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_a_workload_sets_only_one_of_them(pair, tmp_path):
    for name in pair:
        (tmp_path / name).write_text("0\n")
    with pytest.raises(InvalidConfiguration, match="overwrite each other, so both can set only one of them"):
        SystemBackend(Both(tmp_path, *pair), allow_system=True, journal=tmp_path / "journal")
    SystemBackend(Both(tmp_path, pair[0]), allow_system=True, journal=tmp_path / "journal").close()
