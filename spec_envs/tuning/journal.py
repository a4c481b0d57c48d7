"""A journal of settings of the system, which holds their old values so that they are restored whatever happens.

Before a file is first written, its path and old value are appended to the journal and flushed to the disk. The old
values are restored on ``close()``, at the end of the process, and on SIGTERM; after a crash or ``kill -9`` when the
next journal is opened, or by ``spec-envs tuning restore``. A lock ensures that only one process at a time writes.
"""

import atexit
import contextlib
import fcntl
import json
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from spec_envs.closing import Closing
from spec_envs.errors import EnvClosed, HandlerFailed
from spec_envs.tuning.couplings import changed_by, overwritten_by

#: How often all settings are looked at to restore them. The last time only finds that all are as they were.
_ROUNDS = 4


def default_folder() -> Path:
    """The folder of this user's journal: ``spec-envs/tuning`` in ``$XDG_STATE_HOME``, by default ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "spec-envs" / "tuning"


class Journal(Closing):
    """The only owner of changed settings. The constructor restores the settings that an earlier owner left changed.

    Args:
        folder: The folder of journal and lock, which is made if it is missing. Default: ``default_folder()``.

    Raises:
        HandlerFailed: There is another owner, the folder cannot be written to, or a value that an earlier owner left
            changed cannot be restored. All other values are restored.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        folder = Path(folder or default_folder())
        self._lock_file = _locked(folder)
        self._path = folder / "journal.jsonl"
        self._pid = os.getpid()
        self._mutex = threading.RLock()  # reentrant, since a signal may interrupt the thread that holds the lock
        self._old: dict[str, str] = {}
        self._written: set[str] = set()
        self._unreadable: list[str] = []
        self._closed = False
        #: The values that an earlier owner had left changed and that are restored now, by path.
        self.restored: dict[str, str] = {}
        try:
            self._read()
            self.restored = self.restore()
        except BaseException:
            self._lock_file.close()
            raise
        atexit.register(self._at_exit)
        self._forget_signal = _on_sigterm(self._at_exit)

    def write(self, path: str, text: str) -> None:
        """Write ``text`` to the file ``path``, after its old value has been written to the journal.

        The old values of settings that may change with ``path`` are written to the journal, too.

        Raises:
            HandlerFailed: The file cannot be read or written, or does not take back its own value, so that it could not
                be restored.
            EnvClosed: The journal was closed.
        """
        with self._mutex:
            if self._closed:
                raise EnvClosed("the journal was closed, and all settings were restored")
            path = os.path.realpath(path)  # a setting of a device has several paths
            self.note(path)
            if path not in self._written and overwritten_by(path) is None:
                _try_to_restore(path, self._old[path])
            self._written.add(path)
            _write(path, text)

    def note(self, *paths: str) -> None:
        """Write old values to the journal, unless it has them: of settings, and of those that may change with them.

        Settings that are written together are noted together, since the first may change the second.

        Raises:
            HandlerFailed: A file cannot be read.
        """
        with self._mutex:
            for path in map(os.path.realpath, paths):
                for each in (*changed_by(path), path):
                    if each not in self._old:
                        try:
                            old = read_file(each)
                        except HandlerFailed:
                            if each == path:
                                raise
                            continue  # such as a setting that this device does not have
                        self._append({"path": each, "old": old})
                        self._old[each] = old

    def restore(self) -> dict[str, str]:
        """Restore all settings, and return the restored values by path.

        Raises:
            HandlerFailed: A setting cannot be restored, or a line of the journal cannot be read. The line of this
                setting stays in the journal. All other settings are restored.
        """
        with self._mutex:
            failed = self._put_back()
            put_back = {path: old for path, old in self._old.items() if path not in failed}
            self._old = {path: self._old[path] for path in self._old if path in failed}
            self._rewrite()
        wrong = [*failed.values(), *(f"{line.strip()!r} cannot be read" for line in self._unreadable)]
        if wrong:
            raise HandlerFailed(
                f"not restored, and still in {self._path}: {'; '.join(wrong)} (delete the line there when the setting "
                f"is as it should be, or no longer exists)"
            )
        return put_back

    def _put_back(self) -> dict[str, str]:
        """Write the old values; return, by path, what is wrong with each setting that does not have its old value."""
        failed: dict[str, str] = {}
        for number in range(_ROUNDS):  # several rounds, since what is written may change another setting
            failed = {}
            for path, old in reversed(self._old.items()):
                try:
                    if (found := read_file(path)).split() != old.split():
                        failed[path] = f"{path} was set back to {old!r}, but reads {found!r}"
                        _write(path, old)
                except HandlerFailed as error:
                    failed[path] = f"{old!r} cannot be restored: {error}"
                    other = overwritten_by(path)
                    if number and other in self._old:  # the kernel takes no 0 here, but sets it to 0 by itself
                        with contextlib.suppress(HandlerFailed):
                            _write(other, "1")
            if not failed:
                break
        return failed

    def close(self) -> None:
        """Restore all settings, and let another process become the owner. Idempotent."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            atexit.unregister(self._at_exit)
            self._forget_signal()
            try:
                self.restore()
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)  # explicitly, since a forked child may hold the file open
                self._lock_file.close()

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:  # a forked child must not restore what its parent has set
            self.close()

    def _read(self) -> None:
        """Take over the entries of the journal. An incomplete last line is ignored: its setting was never changed."""
        if not self._path.exists():
            return
        *lines, _ = self._path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        for line in filter(None, lines):
            entry = _entry(line)
            if entry is None:
                self._unreadable.append(line)
            else:
                self._old.setdefault(*entry)

    def _append(self, entry: dict[str, str]) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            _to_disk(file)
        _folder_to_disk(self._path.parent)

    def _rewrite(self) -> None:
        """Replace the journal atomically by one with the settings that are still changed."""
        fresh = self._path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(json.dumps({"path": path, "old": old}) + "\n" for path, old in self._old.items())
            file.writelines(line + "\n" for line in self._unreadable)
            _to_disk(file)
        fresh.replace(self._path)
        _folder_to_disk(self._path.parent)


def _entry(line: str) -> tuple[str, str] | None:
    """Path and old value in a line of the journal; ``None`` if the line cannot be read."""
    with contextlib.suppress(ValueError):
        match json.loads(line):
            case {"path": str(path), "old": str(old)}:
                return path, old
    return None


def _locked(folder: Path) -> Any:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open(folder / "lock", "a+", encoding="utf-8")
    except OSError as error:
        raise HandlerFailed(
            f"no journal can be kept in {folder}: {error.strerror}; set XDG_STATE_HOME to a folder of your own"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        if owner == str(os.getpid()):
            raise HandlerFailed("this process already has a backend that changes settings; close it first") from None
        raise HandlerFailed(
            f"another process (pid {owner}) has changed settings of this system; wait until it has ended "
            f"({folder / 'lock'})"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _on_sigterm(cleanup: Callable[[], None]) -> Callable[[], None]:
    """Call ``cleanup`` on SIGTERM, before the previous handler; the returned function installs that handler again.

    Does nothing outside of the main thread, where Python cannot install handlers: then the next owner restores the
    settings. Does nothing in a process that ignores SIGTERM either, since such a process goes on.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        return lambda: None

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            cleanup()
        finally:  # a setting that cannot be restored stays in the journal; the process ends all the same
            if callable(before):
                before(number, frame)
            else:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

    def forget() -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, handle)
    return forget


def read_file(path: str) -> str:
    """The value in a setting's file, which is the word in brackets if the file lists choices; or ``HandlerFailed``."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError as error:
        raise HandlerFailed(f"{path} cannot be read: {error.strerror}") from error
    words = text.split()
    chosen = [word[1:-1] for word in words if re.fullmatch(r"\[[^\[\]]+\]", word)]  # as in "always [madvise] never"
    is_choice = len(chosen) == 1 and all(re.fullmatch(r"\[?[\w.:+-]+\]?", word) for word in words)
    return chosen[0] if is_choice else text


def _try_to_restore(path: str, old: str) -> None:
    try:
        _write(path, old)
    except HandlerFailed as error:
        raise HandlerFailed(f"{path} is not changed, since it does not take back its own value: {error}") from error


def _write(path: str, text: str) -> None:
    try:
        # Like the shell's ">", but without creating a file. The kernel needs the value in a single write.
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(handle, f"{text}\n".encode(errors="surrogateescape"))
        finally:
            os.close(handle)
    except OSError as error:
        raise HandlerFailed(f"{text!r} cannot be written to {path}: {error.strerror}") from error


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
