"""How often is an agent's next tool call among the first guesses, given all that came before it?

``spec-envs bench guess``: recorded conversations, no environment. For every tool call in a file (of every tool, also
those whose argument is free text), the guesser is given the conversation up to it, the user's last message included,
and the call counts as guessed by the first k if one of them has the same name and the same arguments, compared as JSON
in canonical form (keys in any order, ``60.0`` is ``60``, lists in their order). The conversations of one task are
either all learned from or all predicted.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spec_envs.agents.pattern.guesser import PatternGuesser
from spec_envs.benchmarks.reports import console, progress, table, versions, write_json
from spec_envs.conversation import AssistantMessage, ToolCall, Trajectory, read_trajectories
from spec_envs.errors import InvalidConfiguration

#: How many guesses may be used.
RANKS = (1, 3, 5, 8)
#: A tool whose name starts with one of these is taken for a read: it changes nothing.
READS = frozenset("calculate check find get list look lookup query read retrieve search show think view".split())
_BINS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One moment at which the agent acted.

    Args:
        tool: Which tool it called; ``None``: it answered the user.
        rank: The place of the call among the guesses, from 0; ``None`` if it was not among them.
        claims: The probabilities of the guesses.
        first: Whether the first guess had the right tool.
        seconds: How long guessing took.
    """

    tool: str | None
    rank: int | None
    claims: tuple[float, ...]
    first: bool
    seconds: float


def run(file: Path, train: Path | None, guesser: str, folds: int, seed: int, json_file: Path | None) -> None:
    """Measure, and print a table or write JSON.

    Raises:
        InvalidConfiguration: A file holds no trajectories, or not enough tasks.
    """
    trajectories = read_trajectories(file)
    known = None if train is None else read_trajectories(train)
    if not any(isinstance(event, ToolCall) for each in trajectories for event in each.conversation.events):
        raise InvalidConfiguration(f"{file} holds no tool call to predict")
    with progress("guessing", len(trajectories), json_file is None) as show:
        trials, learning = measure(trajectories, known, folds=folds, seed=seed, show=show)
    report: dict[str, Any] = {
        "config": {
            "trajectories": str(file),
            "train": None if train is None else str(train),
            "guesser": guesser,
            "folds": None if known is not None else folds,
            "seed": seed,
            "versions": versions(),
        },
        **summary(trials),
        "learn_seconds": learning,
    }
    report["counts"] |= {"trajectories": len(trajectories), "tasks": len({each.task for each in trajectories})}
    if json_file is None:
        _print(report)
    else:
        write_json(report, json_file)


def measure(
    trajectories: Sequence[Trajectory],
    train: Sequence[Trajectory] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
    show: Callable[[int], None] | None = None,
) -> tuple[list[Trial], float]:
    """Predict every act in ``trajectories``; also returns the seconds that learning took.

    Args:
        trajectories: What to predict.
        train: What to learn from; ``None``: the other tasks among ``trajectories``, in ``folds`` parts.
        folds: Number of those parts. Every ``folds``-th task, in the order of the file, is in the same one.
        seed: Of the guesser.
        show: Told how many trajectories are done.

    Raises:
        InvalidConfiguration: There are fewer tasks than folds.
    """
    trials: list[Trial] = []
    learning, done = 0.0, 0
    for known, unknown in _splits(trajectories, train, folds):
        guesser = PatternGuesser(seed=seed)
        start = time.perf_counter()
        guesser.learn(known, seen=True)
        learning += time.perf_counter() - start
        for trajectory in unknown:
            trials += trials_of(guesser, trajectory)
            done += 1
            if show is not None:
                show(done)
    return trials, learning


def _splits(
    trajectories: Sequence[Trajectory], train: Sequence[Trajectory] | None, folds: int
) -> Iterator[tuple[Sequence[Trajectory], Sequence[Trajectory]]]:
    if train is not None:
        yield train, trajectories
        return
    tasks = list(dict.fromkeys(each.task for each in trajectories))
    if len(tasks) < folds:
        raise InvalidConfiguration(f"{folds} folds need at least as many tasks, and there are {len(tasks)}: {tasks}")
    for fold in range(folds):
        held_out = set(tasks[fold::folds])
        known = [each for each in trajectories if each.task not in held_out]
        yield known, [each for each in trajectories if each.task in held_out]


def trials_of(guesser: PatternGuesser, trajectory: Trajectory) -> Iterator[Trial]:
    """Predict every act of the agent in ``trajectory``."""
    conversation = trajectory.conversation
    for position, event in enumerate(conversation.events):
        if not isinstance(event, ToolCall | AssistantMessage):
            continue
        before = conversation.until(position)
        start = time.perf_counter()
        predicted = guesser.predict(before, max(RANKS))
        seconds = time.perf_counter() - start
        claims = tuple(p for _, p in predicted)
        if isinstance(event, AssistantMessage):
            yield Trial(None, None, claims, False, seconds)
            continue
        keys = [call.key for call, _ in predicted]
        rank = keys.index(event.key) if event.key in keys else None
        yield Trial(event.name, rank, claims, bool(predicted) and predicted[0][0].name == event.name, seconds)


def summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """The figures of the report. All shares are between 0 and 1."""
    calls = [trial for trial in trials if trial.tool is not None]
    reads = [trial for trial in calls if is_read(str(trial.tool))]
    writes = [trial for trial in calls if not is_read(str(trial.tool))]
    tools = sorted({str(trial.tool) for trial in calls}, key=lambda tool: (-_count(calls, tool), tool))
    millis = sorted(1000 * trial.seconds for trial in trials)
    return {
        "counts": {
            "calls": len(calls),
            "reads": len(reads),
            "writes": len(writes),
            "messages": len(trials) - len(calls),
        },
        "next_call": {
            **tops(calls),
            "tool_top1": _share([trial.first for trial in calls]),
            "reads": tops(reads),
            "writes": tops(writes),
            "by_tool": {
                tool: {"calls": _count(calls, tool), **tops([trial for trial in calls if trial.tool == tool])}
                for tool in tools
            },
        },
        "calibration": {
            **calibration([(trial.claims[0], trial.rank == 0) for trial in trials if trial.claims]),
            "all_guesses": calibration([(p, trial.rank == i) for trial in trials for i, p in enumerate(trial.claims)]),
            "calls_only": calibration([(trial.claims[0], trial.rank == 0) for trial in calls if trial.claims]),
        },
        "guess_ms": {
            "median": statistics.median(millis) if millis else None,
            "p90": millis[int(0.9 * (len(millis) - 1))] if millis else None,
        },
    }


def is_read(tool: str) -> bool:
    """Whether a tool's name says that it changes nothing."""
    return tool.replace("-", "_").partition("_")[0].lower() in READS


def tops(trials: Sequence[Trial]) -> dict[str, float | None]:
    """The share of ``trials`` whose call was among the first k guesses."""
    return {f"top{k}": _share([trial.rank is not None and trial.rank < k for trial in trials]) for k in RANKS}


def calibration(claims: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """How claimed probabilities compare with what came true: Brier score, expected calibration error, a table."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for p, right in claims:
        bins[min(_BINS - 1, int(p * _BINS))].append((p, right))
    rows = [
        {
            "from": number / _BINS,
            "to": (number + 1) / _BINS,
            "count": len(found),
            "said": statistics.fmean(p for p, _ in found),
            "right": statistics.fmean(right for _, right in found),
        }
        for number, found in enumerate(bins)
        if found
    ]
    count = len(claims)
    return {
        "count": count,
        "brier": statistics.fmean((p - right) ** 2 for p, right in claims) if claims else None,
        "expected_calibration_error": sum(row["count"] * abs(row["said"] - row["right"]) for row in rows) / count
        if count
        else None,
        "reliability": rows,
    }


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _count(trials: Sequence[Trial], tool: str) -> int:
    return sum(trial.tool == tool for trial in trials)


def _print(report: dict[str, Any]) -> None:
    found, counts = report["next_call"], report["counts"]
    columns = ("exact call among the first", "calls", *map(str, RANKS))
    rows = [_row(tool, entry["calls"], entry) for tool, entry in found["by_tool"].items()]
    rows += [_row(kind, counts[kind], found[kind]) for kind in ("reads", "writes")]
    out = console()
    out.print(table("Next call, in %", columns, rows, footer=_row("all", counts["calls"], found)))
    trust = report["calibration"]
    lines = [
        (f"{row['from']:.1f} to {row['to']:.1f}", str(row["count"]), f"{row['said']:.2f}", f"{row['right']:.2f}")
        for row in trust["reliability"]
    ]
    out.print(table("First guesses: said and came true", ("probability", "moments", "said", "right"), lines))
    out.print(
        f"Brier score {trust['brier']:.3f}, expected calibration error {trust['expected_calibration_error']:.3f}; "
        f"{report['guess_ms']['median']:.1f} ms a guess (median), {report['learn_seconds']:.0f} s of learning"
    )


def _row(name: str, count: int, entry: dict[str, Any]) -> tuple[str, ...]:
    shares = (entry[f"top{k}"] for k in RANKS)
    return name, str(count), *("-" if share is None else f"{100 * share:.1f}" for share in shares)
