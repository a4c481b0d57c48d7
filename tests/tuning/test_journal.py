"""Settings of the system come back: on close, at the end, on SIGTERM, and after kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from spec_envs.benchmarks.cli import main
from spec_envs.errors import EnvClosed, HandlerFailed
from spec_envs.tuning.journal import Journal, default_folder
from tests.tuning.systems import end, scratch, shown, start_tuner


def can_unshare() -> bool:
    """Whether a namespace can be made here."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-Urn", "true"], capture_output=True).returncode == 0


BEFORE, CHANGED = ("7", "never"), ("99", "madvise")


class TestKilled:
    def test_what_a_killed_process_left_comes_back_with_the_next_journal(self, tmp_path):
        workload = scratch(tmp_path)
        process = start_tuner(workload, tmp_path / "journal")
        assert end(process) == -signal.SIGKILL
        assert shown(workload) == CHANGED
        with Journal(tmp_path / "journal") as journal:
            assert shown(workload) == BEFORE
            assert journal.restored == {workload.files["number"]: "7", workload.files["word"]: "never"}
        with Journal(tmp_path / "journal") as journal:
            assert journal.restored == {}

    def test_the_command_puts_it_back(self, tmp_path):
        workload = scratch(tmp_path)
        end(start_tuner(workload, tmp_path / "journal"))
        arguments = ["tuning", "restore", "--journal", str(tmp_path / "journal")]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0
        assert f"{workload.files['number']} is '7' again" in done.output
        assert shown(workload) == BEFORE
        assert CliRunner().invoke(main, arguments).output == "nothing was left changed\n"

    def test_the_command_does_not_take_a_folder_that_is_not_there_for_an_empty_journal(self, tmp_path):
        done = CliRunner().invoke(main, ["tuning", "restore", "--journal", str(tmp_path / "jurnal")])
        assert done.exit_code == 2 and "jurnal" in done.output and "does not exist" in done.output

    @pytest.mark.parametrize(
        ("how", "number", "code"),
        [("wait", signal.SIGTERM, -signal.SIGTERM), ("return", None, 0)],
        ids=["term", "exit"],
    )
    def test_a_process_that_ends_puts_it_back_itself(self, how, number, code, tmp_path):
        workload = scratch(tmp_path)
        process = start_tuner(workload, tmp_path / "journal", how)
        assert end(process, number) == code
        assert shown(workload) == BEFORE
        assert (tmp_path / "journal" / "journal.jsonl").read_text() == ""

    def test_what_cannot_be_put_back_does_not_keep_a_process_alive(self, tmp_path):
        workload = scratch(tmp_path)
        process = start_tuner(workload, tmp_path / "journal")
        Path(workload.files["number"]).unlink()
        assert end(process, signal.SIGTERM) == -signal.SIGTERM
        assert Path(workload.files["word"]).read_text() == "never\n"
        assert json.loads((tmp_path / "journal" / "journal.jsonl").read_text())["path"] == workload.files["number"]

    def test_one_process_at_a_time_is_the_owner(self, tmp_path):
        workload = scratch(tmp_path)
        process = start_tuner(workload, tmp_path / "journal")
        try:
            with pytest.raises(HandlerFailed, match=f"another process \\(pid {process.pid}\\)"):
                Journal(tmp_path / "journal")
            assert shown(workload) == CHANGED
        finally:
            end(process)

    def test_a_real_setting_of_a_private_namespace_comes_back(self, tmp_path):
        if (
            shutil.which("unshare") is None
            or subprocess.run(["unshare", "-Urn", "true"], capture_output=True).returncode
        ):
            pytest.skip("needs user namespaces, and the command unshare")
        command = ["unshare", "-Urn", sys.executable, "-W", "error", "-c", NAMESPACE, str(tmp_path)]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        before, changed, after = done.stdout.split()
        assert changed == "7"
        assert after == before != changed


#: Within a namespace: a child changes a setting of the network and is killed, then the journal is opened again.
NAMESPACE = """
import os, signal, sys
from pathlib import Path
from spec_envs.tuning.journal import Journal

setting, folder = Path("/proc/sys/net/ipv4/tcp_fin_timeout"), Path(sys.argv[1])
print(setting.read_text().strip(), flush=True)
pid = os.fork()
if not pid:
    Journal(folder).write(str(setting), "7")
    os.kill(os.getpid(), signal.SIGKILL)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
print(setting.read_text().strip(), flush=True)
Journal(folder).close()
print(setting.read_text().strip(), flush=True)
"""


class TestJournal:
    def test_the_old_value_is_in_the_journal_before_the_first_write_only(self, tmp_path):
        workload = scratch(tmp_path)
        path = workload.files["number"]
        with Journal(tmp_path / "journal") as journal:
            for value in ("1", "2", "3"):
                journal.write(path, value)
            lines = (tmp_path / "journal" / "journal.jsonl").read_text().splitlines()
            assert [json.loads(line) for line in lines] == [{"path": path, "old": "7"}]
            assert Path(path).read_text() == "3\n"
        assert shown(workload) == BEFORE

    def test_nothing_is_written_that_is_not_in_the_journal(self, tmp_path, monkeypatch):
        workload = scratch(tmp_path)
        with Journal(tmp_path / "journal") as journal:
            monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "disk full")))
            with pytest.raises(OSError, match="disk full"):
                journal.write(workload.files["number"], "1")
            monkeypatch.undo()
            assert shown(workload) == BEFORE

    def test_a_line_that_was_cut_short_is_passed_over(self, tmp_path):
        workload = scratch(tmp_path)
        end(start_tuner(workload, tmp_path / "journal"))
        with open(tmp_path / "journal" / "journal.jsonl", "a") as file:
            file.write('{"path": "/proc/sys/vm/sw')
        with Journal(tmp_path / "journal"):
            assert shown(workload) == BEFORE

    @pytest.mark.parametrize("line", [b"garbage", b"5", b"null", b'{"path": 5, "old": "1"}', b"\xff\xfe"])
    def test_a_line_that_cannot_be_read_is_told_and_kept_and_the_rest_comes_back(self, line, tmp_path):
        workload = scratch(tmp_path)
        journal = tmp_path / "journal" / "journal.jsonl"
        end(start_tuner(workload, tmp_path / "journal"))
        journal.write_bytes(line + b"\n" + journal.read_bytes())
        for _ in range(2):
            with pytest.raises(HandlerFailed, match=r"journal.jsonl: '.*' cannot be read \(delete the line there"):
                Journal(tmp_path / "journal")
            assert shown(workload) == BEFORE
            assert journal.read_bytes() == line + b"\n"
        journal.unlink()
        Journal(tmp_path / "journal").close()

    def test_one_owner_in_this_process_too(self, tmp_path):
        with (
            Journal(tmp_path),
            pytest.raises(HandlerFailed, match="this process already has .* close it first"),
        ):
            Journal(tmp_path)
        Journal(tmp_path).close()

    def test_a_child_that_was_forked_meanwhile_does_not_stay_the_owner(self, tmp_path):
        journal = Journal(tmp_path)
        inherited = journal._lock_file.fileno()
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[inherited]):
            journal.close()
            Journal(tmp_path).close()

    def test_a_folder_that_cannot_be_written_to_names_the_way_out(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(HandlerFailed, match="no journal can be kept in .*; set XDG_STATE_HOME"):
            Journal(tmp_path / "file" / "folder")

    def test_what_cannot_be_put_back_stays_in_the_journal_and_the_rest_comes_back(self, tmp_path):
        workload = scratch(tmp_path)
        end(start_tuner(workload, tmp_path / "journal"))
        number = Path(workload.files["number"])
        number.unlink()
        with pytest.raises(HandlerFailed, match=f"not restored, and still in .*journal.jsonl: '7' .* {number}"):
            Journal(tmp_path / "journal")
        assert Path(workload.files["word"]).read_text() == "never\n"
        number.write_text("99")
        with Journal(tmp_path / "journal") as journal:
            assert journal.restored == {str(number): "7"}

    def test_the_word_in_brackets_is_the_value(self, tmp_path):
        path = tmp_path / "enabled"
        path.write_text("always [madvise] never\n")
        with Journal(tmp_path / "journal") as journal:
            journal.write(str(path), "never")
        assert path.read_text() == "madvise\n"

    def test_a_missing_file_is_an_error_and_is_not_made(self, tmp_path):
        with Journal(tmp_path / "journal") as journal, pytest.raises(HandlerFailed, match="cannot be read"):
            journal.write(str(tmp_path / "missing"), "1")
        assert not (tmp_path / "missing").exists()

    def test_after_close_nothing_is_written(self, tmp_path):
        workload = scratch(tmp_path)
        journal = Journal(tmp_path / "journal")
        journal.close()
        journal.close()
        with pytest.raises(EnvClosed):
            journal.write(workload.files["number"], "1")
        assert shown(workload) == BEFORE

    def test_the_handler_of_sigterm_is_put_back(self, tmp_path):
        before = signal.getsignal(signal.SIGTERM)
        with Journal(tmp_path / "journal"):
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) is before

    def test_a_process_that_ignores_sigterm_goes_on_with_its_settings(self, tmp_path):
        workload = scratch(tmp_path)
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            with Journal(tmp_path / "journal") as journal:
                journal.write(workload.files["number"], "1")
                os.kill(os.getpid(), signal.SIGTERM)
                journal.write(workload.files["number"], "2")
                assert shown(workload)[0] == "2"
        finally:
            signal.signal(signal.SIGTERM, before)

    def test_the_folder_is_the_users(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert default_folder() == tmp_path / "spec-envs" / "tuning"
        with Journal():
            assert (default_folder().stat().st_mode & 0o777) == 0o700
