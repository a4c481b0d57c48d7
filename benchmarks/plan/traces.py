"""Traces of ``SpeculativeWrapper``, and recordings of handlers, read as a workload."""

import collections
import dataclasses
import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.plan.workload import Guessing, PlannedCall, Window, Workload
from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.usage import NOTHING, Usage

_EFFECTS = {effect.value: effect for effect in Effect}
#: How much calls at the same place of an episode differ, as the standard deviation of the logarithm of their seconds.
_SPREAD = 0.4
Event = Mapping[str, Any]


def read(files: Sequence[Path], calls: int) -> Workload:
    """The workload in ``files``: all traces, or all recordings.

    Args:
        files: JSON Lines of ``Trace.to_jsonl`` or of ``Recording.save``; a recording is named after its handler.
        calls: Calls of an episode, for recordings, which do not say where episodes begin.

    Raises:
        InvalidConfiguration: A file is neither a trace nor a recording, or the files hold no episode of two calls.
    """
    lines = {file: list(_lines(file)) for file in files}
    are_traces = {"kind" in line for each in lines.values() for line in each}
    if len(are_traces) > 1:
        raise InvalidConfiguration(f"{', '.join(map(str, files))}: give traces or recordings, not both")
    if are_traces == {False}:
        return _of_recordings({file.stem: each for file, each in lines.items()}, calls)
    reading = _Reading()
    for each in lines.values():
        reading.read(each)
    return reading.workload(files)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict) or not (
            {"kind", "time_s"} <= line.keys() or {"seconds", "response"} <= line.keys()
        ):
            raise InvalidConfiguration(
                f"{file}, line {number} is neither an event of a trace (Trace.to_jsonl) nor a call of a recording "
                f"(Recording.save): {text:.80}"
            )
        yield line


@dataclasses.dataclass(slots=True)
class _Call:
    """A call that has begun, and has ended if ``seconds`` is known."""

    handler: str
    since: float
    effect: Effect
    seconds: float = math.nan
    usage: Usage = NOTHING


class _Reading:
    """The episodes and guesses of traces, event by event."""

    def __init__(self) -> None:
        self._episodes: list[list[PlannedCall]] = []
        self._calls: dict[int | None, _Call] = {}
        self._last_played: dict[str, _Call] = {}  # by handler; of calls that were made without the tree
        self._windows: dict[str, list[Window]] = collections.defaultdict(list)
        self._guess_s: dict[str, list[float]] = collections.defaultdict(list)
        self._guess_usages: dict[str, list[Usage]] = collections.defaultdict(list)

    def read(self, events: Iterable[Event]) -> None:
        """Read the events of one trace."""
        self._calls, self._last_played = {}, {}
        self._episodes.append([])
        for event in events:
            match event["kind"]:
                case "reset":
                    self._episodes.append([])
                case "start":
                    effect = _EFFECTS.get(event.get("effect", ""), Effect.SAMPLE)
                    self._calls[event["call"]] = _Call(event["handler"], event["time_s"], effect)
                case "end":
                    self._end(event)
                case "guess":
                    self._guess(event)
                case "commit":
                    self._commit(event)

    def _end(self, event: Event) -> None:
        call = self._calls.get(event["call"])
        if call is not None and event.get("outcome") == "done":
            call.seconds = event["time_s"] - call.since
            call.usage = _usage(event)
            if event["call"] < 0:
                self._last_played[call.handler] = call

    def _guess(self, event: Event) -> None:
        call = self._calls.get(event.get("call"))
        if event.get("outcome") == "done":
            self._guess_usages[event["handler"]].append(_usage(event))
            if call is not None:
                self._guess_s[event["handler"]].append(event["time_s"] - call.since)

    def _commit(self, event: Event) -> None:
        handler = event["handler"]
        window = None
        if event["outcome"] != "unguessed":
            # Where another guess led to the same next call, that guess counts as the right one.
            rank = event.get("rank", 0 if event["outcome"] == "hit" else None)
            window = Window(tuple(event.get("claims", ())), rank)
            self._windows[handler].append(window)
        call = self._last_played.pop(handler, None) if event.get("call") is None else self._calls.get(event["call"])
        if call is not None and not math.isnan(call.seconds):  # otherwise the action was chosen outside of the wrapper
            self._episodes[-1].append(PlannedCall(handler, call.seconds, call.usage, call.effect, window))

    def workload(self, files: Sequence[Path]) -> Workload:
        """The workload that was read."""
        episodes = [episode for episode in self._episodes if len(episode) > 1]
        if not episodes:
            raise InvalidConfiguration(f"{', '.join(map(str, files))}: no episode with at least two calls")
        guessing = {name: self._guessing(name, windows) for name, windows in self._windows.items()}
        return Workload(episodes, guessing, num_known=len(episodes), spread=_SPREAD)

    def _guessing(self, handler: str, windows: Sequence[Window]) -> Guessing:
        ranks = [window.rank for window in windows]
        most = max(len(window.claims) for window in windows)
        rates = tuple(ranks.count(rank) / len(ranks) for rank in range(most))
        usages = self._guess_usages[handler]
        total = sum(usages, NOTHING)
        seconds = self._guess_s[handler]
        return Guessing(
            rates, statistics.median(seconds) if seconds else 0.0, total * (1 / max(1, len(usages))), windows
        )


def _usage(data: Event) -> Usage:
    return Usage(data.get("tokens_in", 0), data.get("tokens_out", 0), data.get("money", 0.0))


def _of_recordings(recordings: Mapping[str, Sequence[Event]], calls: int) -> Workload:
    """Recordings do not say in which order calls were made: handlers take turns, by the number of their calls."""
    records = sorted(
        ((number + 0.5) / len(lines), order, PlannedCall(name, line["seconds"], _usage(line)))
        for order, (name, lines) in enumerate(recordings.items())
        for number, line in enumerate(lines)
    )
    found = [call for _, _, call in records]
    episodes = [found[start : start + calls] for start in range(0, len(found), calls)]
    episodes = [episode for episode in episodes if len(episode) > 1]
    if not episodes:
        raise InvalidConfiguration(f"the recordings {', '.join(recordings)} hold fewer than two calls")
    note = f"recordings do not say where episodes begin: {calls} calls are taken for one (--calls)"
    return Workload(episodes, {}, num_known=len(found) / calls, note=note)
