"""How often is an agent's next tool call among the first guesses, given the conversation before it?

The conversations are recorded, and there is no environment. For every tool call in a file (of every tool, also of those
whose argument is free text), the guesser is given the conversation before the call, with the user's last message. The
call counts as guessed by the first k guesses if one of them has the same name and the same arguments, compared as JSON
in canonical form (keys in any order, ``60.0`` is ``60``, lists in their order). The conversations of one task are
either all learned from or all predicted.
"""

import dataclasses
import functools
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import RenderableType

from spec_envs.agents.pattern.guesser import PatternGuesser
from spec_envs.benchmarks.episodes import folds_by
from spec_envs.benchmarks.guess import GuessSettings
from spec_envs.benchmarks.processes import ALONE, Workers, in_order
from spec_envs.benchmarks.reports import config_of, progress, table_of
from spec_envs.conversation import AssistantMessage, ToolCall, Trajectory, read_trajectories
from spec_envs.errors import InvalidConfiguration

#: The numbers of first guesses for which shares are reported.
RANKS = (1, 3, 5, 8)
#: Columns of a table: the share that is among the first guesses.
RANK_COLUMNS = {str(k): f"{{top{k}:.1%}}" for k in RANKS}
#: A tool whose name starts with one of these words counts as a read: it changes nothing.
READS = frozenset("calculate check find get list look lookup query read retrieve search show think view".split())


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One moment at which the agent acted."""

    tool: str | None  # the tool that the agent called; ``None``: the agent answered the user
    rank: int | None  # rank of the call among the guesses, from 0; ``None`` if the call was not among them
    claims: tuple[float, ...]  # probabilities of the guesses
    first: bool  # whether the first guess had the right tool
    seconds: float  # how long the guesser took


def measure(
    trajectories: Sequence[Trajectory],
    train: Sequence[Trajectory] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
    workers: Workers = ALONE,
    advance: Callable[[], None] | None = None,
) -> tuple[list[Trial], float]:
    """Predict every act in ``trajectories``; also returns the seconds that learning took.

    Learns from ``train``, or else from the conversations of the other tasks, in ``folds`` parts.

    Raises:
        InvalidConfiguration: There are fewer tasks than folds.
    """
    trials: list[Trial] = []
    learning = 0.0
    splits = (
        folds_by(trajectories, lambda each: each.task, folds, "tasks") if train is None else [(train, trajectories)]
    )
    for made, seconds in in_order(functools.partial(_fold, seed), splits, workers):
        trials += itertools.chain.from_iterable(made)
        learning += seconds
        if advance is not None:
            for _ in made:
                advance()
    return trials, learning


def _fold(seed: int, split: tuple[Sequence[Trajectory], Sequence[Trajectory]]) -> tuple[list[list[Trial]], float]:
    """The predictions for each conversation of the second part, learned from the first; and the seconds of that."""
    known, unknown = split
    guesser = PatternGuesser(seed=seed)
    start = time.perf_counter()
    guesser.learn(known, seen=True)
    seconds = time.perf_counter() - start
    return [list(trials_of(guesser, trajectory)) for trajectory in unknown], seconds


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


def is_read(tool: str) -> bool:
    """Whether a tool's name says that it changes nothing."""
    return tool.replace("-", "_").partition("_")[0].lower() in READS


def tops(trials: Sequence[Trial]) -> dict[str, float | None]:
    """The share of ``trials`` whose call was among the first k guesses."""
    return {f"top{k}": share_of([trial.rank is not None and trial.rank < k for trial in trials]) for k in RANKS}


def next_call(trials: Sequence[Trial], is_read: Callable[[str], bool]) -> dict[str, Any]:
    """How often the next call was among the first guesses: all, reads and writes."""
    calls = [(trial, is_read(trial.tool)) for trial in trials if trial.tool is not None]
    reads, writes = ([trial for trial, read in calls if read is kind] for kind in (True, False))
    return {**tops([trial for trial, _ in calls]), "reads": tops(reads), "writes": tops(writes)}


def share_of(values: Sequence[bool]) -> float | None:
    """The share of ``values`` that are true; ``None`` without any."""
    return sum(values) / len(values) if values else None


_BINS = 10


def run(settings: GuessSettings) -> dict[str, Any]:
    """The report of predictions of the conversations.

    Raises:
        InvalidConfiguration: A file holds no trajectories, or not enough tasks.
    """
    trajectories = read_trajectories(settings.trajectories)
    known = None if settings.train is None else read_trajectories(settings.train)
    if not any(isinstance(event, ToolCall) for each in trajectories for event in each.conversation.events):
        raise InvalidConfiguration(f"{settings.trajectories} holds no tool call to predict")
    folds, seed = settings.folds, settings.seed
    with progress("guessing", len(trajectories)) as advance:
        trials, learning = measure(
            trajectories, known, folds=folds, seed=seed, workers=settings.workers, advance=advance
        )
    report: dict[str, Any] = {
        "config": config_of(settings) | {"folds": folds if known is None else None},
        **summary(trials),
        "learn_seconds": learning,
    }
    report["counts"] |= {"trajectories": len(trajectories), "tasks": len({each.task for each in trajectories})}
    return report


def summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """The figures of the report. All shares are between 0 and 1."""
    calls = [trial for trial in trials if trial.tool is not None]
    made = Counter(str(trial.tool) for trial in calls)
    reads = sum(count for tool, count in made.items() if is_read(tool))
    millis = sorted(1000 * trial.seconds for trial in trials)
    return {
        "counts": {
            "calls": len(calls),
            "reads": reads,
            "writes": len(calls) - reads,
            "messages": len(trials) - len(calls),
        },
        "next_call": {
            **next_call(trials, is_read),
            "tool_top1": share_of([trial.first for trial in calls]),
            "by_tool": {
                tool: {"calls": made[tool], **tops([trial for trial in calls if trial.tool == tool])}
                for tool in sorted(made, key=lambda tool: (-made[tool], tool))
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


def calibration(claims: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """How often guesses were right, each given with its probability: Brier score, calibration error, and bin by bin."""
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


def show(report: dict[str, Any], settings: GuessSettings) -> Iterator[RenderableType]:
    """How often guesses are right, by tool and by probability."""
    found, counts = report["next_call"], report["counts"]
    columns = {"tool": "{tool}", "calls": "{calls}", **RANK_COLUMNS}
    rows = [{"tool": tool, **entry} for tool, entry in found["by_tool"].items()]
    rows += [{"tool": kind, "calls": counts[kind], **found[kind]} for kind in ("reads", "writes")]
    title = "Share of the next calls that are among the first guesses"
    yield table_of(title, columns, rows, {"tool": "all", "calls": counts["calls"], **found})
    trust = report["calibration"]
    columns = {
        "probability": "{from:.1f} to {to:.1f}",
        "guesses": "{count}",
        "mean": "{said:.2f}",
        "right": "{right:.2f}",
    }
    yield table_of("First guesses: how probable, and how often right", columns, trust["reliability"])
    yield (
        f"Brier score {trust['brier']:.3f}, expected calibration error {trust['expected_calibration_error']:.3f}; "
        f"{report['guess_ms']['median']:.1f} ms for a guess (median), {report['learn_seconds']:.0f} s to learn"
    )
