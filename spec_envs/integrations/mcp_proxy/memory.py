"""What the proxy learns, and its figures, in a file in the user's state folder, for later sessions.

The file is JSON for people to read: figures first, then the sequences of calls that were seen most, then what the
guessers have learned. It is written whole and then put in place, so a crash leaves the old one.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime
import hashlib
import json
import math
import os
import re
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spec_envs import Call
from spec_envs.agents import NGramGuesser, PatternGuesser, UnionGuesser
from spec_envs.checks import as_number
from spec_envs.conversation import Conversation, ToolCall, ToolResult
from spec_envs.integrations.mcp_proxy.config import ProxyConfig
from spec_envs.integrations.mcp_proxy.lines import note
from spec_envs.whole_files import read_whole, write_whole
from spec_envs.wrappers.tools import ToolEstimates, ToolStatistics

_VERSION = 1
#: The most that is kept: contexts of calls, seconds of a tool's calls, sequences for people, characters of a file.
_MAX_CONTEXTS, _MAX_SECONDS, _MAX_SEQUENCES, _MAX_FILE = 5_000, 500, 20, 16_000_000
#: The number of lessons that may wait; further lessons are dropped.
_MAX_LESSONS = 64
_COUNTS = ("calls", "hits", "shared", "saved_s", "started", "failed")
_SAVE_EVERY = 25  # calls
#: So many calls at once get servers of which nothing is known: many of them answer one at a time.
_AT_FIRST = 2
#: Lessons wait until the client has made no call for this long.
_QUIET_S = 0.05


def state_folder() -> Path:
    """The folder for the figures and for what was learned, unless the configuration names another."""
    base = os.environ.get("XDG_STATE_HOME")
    with contextlib.suppress(RuntimeError):  # a user without a home
        base = base or str(Path.home() / ".local" / "state")
    return Path(base or tempfile.gettempdir()) / "spec-envs" / "mcp-proxy"


def file_of(config: ProxyConfig) -> Path:
    """The file of the servers of ``config``."""
    identity = "\n".join(server.identity for server in config.servers)
    name = re.sub(r"[^\w.-]+", "-", "+".join(server.name for server in config.servers))[:60]
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return (config.state or state_folder()) / f"{name}-{digest}.json"


@dataclasses.dataclass
class Figures:
    """Counts and sums over all sessions, and the last seconds of each tool's calls."""

    counts: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    held_back: Counter[str] = dataclasses.field(default_factory=Counter)
    tools: dict[str, dict[str, list[float]]] = dataclasses.field(default_factory=dict)

    def add_call(self, tool: str, seconds: float, *, ahead: bool) -> None:
        """Note how long the client waited for a call."""
        self._extend(tool, "ready_s" if ahead else "called_s", [round(seconds, 6)])

    @property
    def has_any(self) -> bool:
        """Whether there was a call."""
        return bool(self.tools) or any(self.counts.values())

    def add(self, other: Figures) -> None:
        """Add the figures of later calls."""
        for name in _COUNTS:
            self.counts[name] += other.counts[name]
        self.held_back.update(other.held_back)
        for tool, lists in other.tools.items():
            for name, times in lists.items():
                self._extend(tool, name, times)

    def _extend(self, tool: str, name: str, times: list[float]) -> None:
        kept = self.tools.setdefault(tool, {"called_s": [], "ready_s": []})[name]
        kept += times
        del kept[:-_MAX_SECONDS]

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON data."""
        return {**self.counts, "held_back": dict(self.held_back), "tools": self.tools}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Figures:
        """The figures that ``to_json`` has written.

        Raises:
            TypeError, ValueError, AttributeError: They are something else.
        """
        tools = {
            str(tool): {name: list(map(_finite, lists.get(name, ()))) for name in ("called_s", "ready_s")}
            for tool, lists in data.get("tools", {}).items()
        }
        held_back = Counter({str(why): int(_finite(count)) for why, count in data.get("held_back", {}).items()})
        return cls({name: _finite(data.get(name, 0)) for name in _COUNTS}, held_back, tools)


@dataclasses.dataclass(frozen=True, slots=True)
class Lesson:
    """A call of the client from which the guessers are to learn.

    Args:
        before: What had happened before.
        tool: The tool.
        arguments: The arguments.
        is_private: Whether the arguments and the results of a tool must not be learned.
    """

    before: Conversation
    tool: str
    arguments: Mapping[str, Any]
    is_private: Callable[[str], bool]

    def shown(self) -> tuple[Call, Any]:
        """The example for the guessers: a situation, and the call."""
        arguments = {} if self.is_private(self.tool) else dict(self.arguments)
        call = Call("policy", _without_private(self.before, self.is_private))
        return call, {"name": self.tool, "arguments": arguments}


class Memory:
    """Guesses calls, learns, counts, and writes its file. Shared by all sessions of a proxy; thread-safe.

    Args:
        config: Says where the file is, and whether anything learned is kept.
    """

    def __init__(self, config: ProxyConfig) -> None:
        self._config = config
        self.file = file_of(config)
        self._lock = threading.Lock()
        self._ngrams = NGramGuesser(capacity=_MAX_CONTEXTS)
        self._patterns = PatternGuesser()
        #: Figures and lessons that the file does not have yet.
        self._new = Figures()
        self._lessons: deque[tuple[Call, Any]] = deque(maxlen=_MAX_LESSONS + _SAVE_EVERY)
        self._seen = _version(self.file)  # the file that holds what else was learned here
        #: What is known of the servers, and of how long the client thinks.
        self.estimates = ToolEstimates(_AT_FIRST)
        before = _read(self.file)
        if self._learn_from(before) and before is not None:
            self.estimates = self._estimates_in(before)
        #: Guesses calls; learns by ``teach`` alone.
        self.guesser = _Guesses(UnionGuesser([self._ngrams, self._patterns]))
        self._teacher = concurrent.futures.ThreadPoolExecutor(1, "mcp-proxy-lessons")
        self._waiting: deque[Lesson] = deque()
        self._is_learning = False
        self._unsaved = 0
        self._problems: list[str] | None = None  # with the names in the rules; None: no server has listed its tools
        self._last_call = time.monotonic()

    def _learn_from(self, data: Mapping[str, Any] | None) -> bool:
        """Take over what a file says was learned, and return whether that was possible."""
        if data is None or not self._config.learns:
            return False
        try:
            ngrams, patterns = NGramGuesser.from_json(data["calls"]), PatternGuesser.from_json(data["patterns"])
            list(_sequences(ngrams.to_json()))  # which is needed later
        except Exception as error:  # anybody may have changed the file
            note(f"{self.file}: what was learned cannot be read, and is learned anew: {error!r}")
            return False
        self._ngrams, self._patterns = ngrams, patterns
        return True

    def _estimates_in(self, data: Mapping[str, Any]) -> ToolEstimates:
        """What a file says that proxies have found out about the servers."""
        estimates = ToolEstimates(_AT_FIRST)
        try:
            if "estimates" in data:
                estimates.restore(data["estimates"])
        except Exception as error:  # anybody may have changed the file
            note(f"{self.file}: the estimates cannot be read, and are made anew: {error!r}")
        return estimates

    def _join(self, data: Mapping[str, Any]) -> None:
        """Learn what another proxy of the same servers has written, and then the lessons that are not in its file."""
        self.estimates.join(self._estimates_in(data))
        if self._learn_from(data):
            self.guesser.replace(UnionGuesser([self._ngrams, self._patterns]))
            for lesson in self._lessons:
                self.guesser.observe_now(*lesson)

    def teach(self, lesson: Lesson) -> None:
        """Learn ``lesson`` once the client is quiet."""
        self._last_call = time.monotonic()
        if not self._config.learns or len(self._waiting) >= _MAX_LESSONS:
            return
        with self._lock:
            self._waiting.append(lesson)
            is_learning, self._is_learning = self._is_learning, True
        if not is_learning:
            self._later(self._learn)

    def _later(self, job: Callable[[], None]) -> None:
        """Have the thread do ``job`` once the client is quiet: work must not slow down calls."""

        def when_quiet() -> None:
            self._await_quiet()
            job()

        with contextlib.suppress(RuntimeError):  # the proxy is ending
            self._teacher.submit(when_quiet)

    def _await_quiet(self) -> None:
        while time.monotonic() < self._last_call + _QUIET_S:
            time.sleep(_QUIET_S)

    def _learn(self) -> None:
        """Learn the lessons that wait."""
        while True:
            with self._lock:
                lesson = self._waiting.popleft() if self._waiting else None
                self._is_learning = lesson is not None
            if lesson is None:
                return
            self._await_quiet()
            try:
                self._lessons.append(lesson.shown())
                self.guesser.observe_now(*self._lessons[-1])
            except Exception as error:  # a lesson must not end the thread
                note(f"a call could not be learned from: {error!r}")

    def count_call(self, tool: str, seconds: float, *, ahead: bool) -> None:
        """Note how long the client waited for a call."""
        with self._lock:
            self._new.add_call(tool, seconds, ahead=ahead)
            self._unsaved += 1
            due = self._unsaved % _SAVE_EVERY == 0
        if due:
            self._later(self.save)

    def add_statistics(self, statistics: ToolStatistics) -> None:
        """Add the counts of one stretch of calls."""
        with self._lock:
            for name in _COUNTS:
                self._new.counts[name] += getattr(statistics, name)
            self._new.held_back.update(statistics.held_back)

    def tell_problems(self, problems: list[str]) -> None:
        """Note what is wrong with the names in the rules, each time that there is something new, and keep it."""
        for problem in problems:
            if problem not in (self._problems or ()):
                note(problem)
        self._problems = problems

    def close(self) -> None:
        """Finish the lessons, and write the file."""
        self._teacher.shutdown()
        if (
            self._new.has_any or self._lessons or self._problems or self.file.exists()
        ):  # a proxy that served nobody leaves no file
            self.save()

    def save(self) -> None:
        """Write the file. A failure is noted, and the proxy goes on.

        Figures and lessons are added to those in the file; other proxies of the same servers add to the same file.
        """
        version, before = _version(self.file), _read(self.file) or {}
        with self._lock:
            new, self._new = self._new, Figures()
        figures = _figures_in(before)
        figures.add(new)
        data = {
            "version": _VERSION,
            "servers": [{"name": each.name, "server": each.identity} for each in self._config.servers],
            "updated": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "problems": before.get("problems", []) if self._problems is None else self._problems,
            "figures": figures.to_json(),
        }
        if self._config.learns:
            if version != self._seen:
                self._join(before)
            calls, patterns = self._ngrams.to_json(), self._patterns.to_json()
            data |= {"sequences": list(_sequences(calls)), "calls": calls, "patterns": patterns}
            data |= {"estimates": self.estimates.as_dict()}
        else:
            data |= {name: before[name] for name in ("sequences", "estimates", "calls", "patterns") if name in before}
        try:
            write_whole(self.file, _bounded(data), private=True)
            self._seen = _version(self.file)
            self._lessons.clear()
        except OSError as error:
            note(f"{self.file} cannot be written: {error}")
            with self._lock:
                new.add(self._new)
                self._new = new


def _finite(value: Any) -> float:
    """``value`` as a finite ``float``; ``ValueError`` if it is something else."""
    if not math.isfinite(number := as_number(value)):
        raise ValueError(f"{value!r:.80} is no finite number")
    return number


def _figures_in(data: Mapping[str, Any]) -> Figures:
    """The figures in the data of a file; none where they cannot be read."""
    try:
        return Figures.from_json(data["figures"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return Figures()


class _Guesses:
    """A guesser that is taught by the proxy alone: ``SpeculativeTools`` finds no ``observe``."""

    def __init__(self, inner: UnionGuesser) -> None:
        self.replace(inner)

    def replace(self, inner: UnionGuesser) -> None:
        """Guess and learn by ``inner`` from now on."""
        self.guess, self.observe_now = inner.guess, inner.observe


def _without_private(before: Conversation, is_private: Callable[[str], bool]) -> Conversation:
    """The conversation without arguments and results of private tools."""
    events = before.events
    if not any(isinstance(event, ToolCall) and is_private(event.name) for event in events):
        return before
    hidden: set[str] = set()
    shown: list[Any] = []
    for event in events:
        if isinstance(event, ToolCall) and is_private(event.name):
            hidden.add(event.id)
            shown.append(ToolCall(event.name, {}, event.id))
        elif isinstance(event, ToolResult) and event.id in hidden:
            shown.append(ToolResult("", event.error, event.id))
        else:
            shown.append(event)
    return Conversation(tuple(shown), before.tools)


def _sequences(calls: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The most frequent calls after a call, for people."""
    seen = [
        (count, context[0], following)
        for context, followings in calls["counts"]
        if len(context) == 1 and context[0]
        for following, count in followings.items()
        if following
    ]
    for count, before, following in sorted(seen, key=lambda each: -each[0])[:_MAX_SEQUENCES]:
        yield {"after": json.loads(before), "then": json.loads(following), "times": count}


def _bounded(data: dict[str, Any]) -> str:
    """The data as text; where there is too much of it, the patterns are learned anew."""
    text = json.dumps(data, ensure_ascii=False, indent=1)
    if len(text) > _MAX_FILE:
        note("too much was learned to keep; patterns are learned anew")
        text = json.dumps(data | {"patterns": PatternGuesser().to_json()}, ensure_ascii=False, indent=1)
    return text


def _version(file: Path) -> tuple[int, int] | None:
    """Values that differ after the file was written again; ``None`` where there is no file."""
    with contextlib.suppress(OSError):
        status = file.stat()
        return status.st_ino, status.st_mtime_ns
    return None


def _read(file: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(read_whole(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        note(f"{file} cannot be read, and is begun anew: {error}")
        return None
    return data if isinstance(data, dict) and data.get("version") == _VERSION else None
