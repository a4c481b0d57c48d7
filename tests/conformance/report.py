"""Tables of what was seen, for the terminal and for the docs."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.conformance.catalog import FAMILIES, Family
from tests.conformance.examining import Outcome

_BEGIN, _END = "<!-- conformance: written by make conformance -->", "<!-- end of conformance -->"
_PACKAGES = ("gymnasium", "minigrid", "highway-env", "textarena", "Box2D", "mujoco", "ale-py", "pettingzoo")
_MORE_PACKAGES = ("pybullet", "pybullet-envs-gymnasium", "panda-gym", "chess", "pandas", "numpy")
#: What the tables call the verdicts.
_WORDS = {
    "forks": "forks faithfully",
    "refused": "refused",
    "ends": "speculation ends, with a warning",
    "random": "not compared: two plain runs differ",
    "left out": "left out",
}


def unexpected(outcome: Outcome) -> list[str]:
    """What is wrong with an outcome; nothing, if all is as it should be."""
    family, wrong = outcome.subject.of, list(outcome.problems)
    if outcome.verdict == "refused" and family.forks and not re.search("global (random )?generator", outcome.reason):
        wrong.append(f"refused, and should fork: {outcome.reason}")
    return [f"{family.name}, {outcome.subject.name}: {each}" for each in wrong]


def summary(outcomes: Sequence[Outcome]) -> str:
    """A table with a line for each family."""
    head = ("environments", "number", "fork faithfully", "refused", "ended", "fork, ms", "deepcopy, ms", "episodes")
    rows: list[tuple[str, ...]] = [(*head, "differences")]
    for family in FAMILIES:
        of = [each for each in outcomes if each.subject.of is family and each.verdict not in ("left out", "random")]
        if of:
            rows.append(_line(family.name, of))
        elif family.missing():
            rows.append((family.name, f"not installed: {', '.join(family.missing())}", *[""] * 7))
    rows.append(("all", *_line("all", outcomes)[1:5], "", "", *_line("all", outcomes)[7:]))
    return _markdown(rows)


def _line(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    counts = [sum(each.verdict == verdict for each in outcomes) for verdict in ("forks", "refused", "ends")]
    forking = [each.fork_ms for each in outcomes if each.fork_ms is not None]
    deepcopy = [each.deepcopy_ms for each in outcomes if each.deepcopy_ms is not None]
    episodes = sum(each.episodes + each.on_threads for each in outcomes)
    differences = sum(len(each.problems) for each in outcomes)
    number = sum(each.verdict not in ("left out", "random") for each in outcomes)
    return name, str(number), *map(str, counts), _range(forking), _range(deepcopy), f"{episodes:,}", str(differences)


def _range(costs: list[float]) -> str:
    return f"{statistics.median(costs):.2f} (at most {max(costs):.2f})" if costs else ""


def details(outcomes: Iterable[Outcome]) -> str:
    """A table for each family, with a line for each environment."""
    parts = []
    for family in FAMILIES:
        of = [each for each in outcomes if each.subject.of is family]
        if of:
            parts.append(f"## {family.name}\n\n{_markdown([*_details(family, of)])}")
    return "\n".join(parts)


def _details(family: Family, outcomes: Iterable[Outcome]) -> Iterable[tuple[str, ...]]:
    yield "environment", "outcome", "fork, ms", "deepcopy, ms", "episodes", "differences"
    for each in outcomes:
        costs = ("" if cost is None else f"{cost:.2f}" for cost in (each.fork_ms, each.deepcopy_ms))
        what = _WORDS[each.verdict] + (f": {_short(each.reason)}" if each.reason else "")
        differences = str(len(each.problems)) if each.verdict in ("forks", "refused", "ends") else ""
        yield each.subject.name, what, *costs, str(each.episodes + each.on_threads), differences


def _short(reason: str) -> str:
    """The middle of an error: the environment is named beside it, and the way out is the same for all."""
    reason = reason.partition("cannot be forked: ")[2] or reason
    for end in ("; give it a fork()", ". Found by", "; put it outside"):
        reason = reason.partition(end)[0]
    reason = re.sub(r"/\S*/site-packages/", "", reason)  # where packages are installed is nobody's business
    return reason.replace("|", "/").replace("<", "&lt;")[:160]


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines) + "\n"


def write(outcomes: Sequence[Outcome], docs: Path, command: str) -> None:
    """Write the summary into ``lossless.md``, and the details into ``conformance.md``."""
    told = f"`{command}` printed this on Python {platform.python_version()} with {', '.join(_versions())}."
    page = docs / "lossless.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(
        f"{before}{_BEGIN}\n{summary(outcomes)}\n`{command}` printed this.\n\n{_END}{after}", encoding="utf-8"
    )
    begin = "This page lists each environment that [lossless.md](lossless.md#environments-that-others-wrote) sums up."
    text = textwrap.fill(f"{begin} {told}", 120, break_long_words=False, break_on_hyphens=False)
    page = docs / "conformance.md"
    page.write_text(f"# Environments that others wrote\n\n{text}\n\n{details(outcomes)}", encoding="utf-8")


def _versions() -> Iterable[str]:
    for name in (*_PACKAGES, *_MORE_PACKAGES):
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
