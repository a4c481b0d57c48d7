"""Examine the installed environments of the catalog: ``python -m tests.conformance``.

Exits with 1 if anything differs, crashes, is harmed, or is refused without need.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.conformance import report
from tests.conformance.catalog import subjects
from tests.conformance.examining import Outcome
from tests.conformance.processes import Task, examined
from tests.conformance.progress import EVERY_S, Progress

_DOCS = Path(__file__).parents[2] / "docs"
#: How many episodes the catalog's numbers come to, about.
_ALL = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=_ALL, help="about how many episodes to compare")
    parser.add_argument("--every", type=int, default=1, help="take one of so many environments")
    parser.add_argument("--only", default="", help="families with this in their names")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="write the tables into docs/")
    options = parser.parse_args()
    begun = time.monotonic()
    chosen = list(subjects(options.every, options.only))
    outcomes: list[Outcome] = []
    wrong: list[str] = []
    share = options.episodes / _ALL
    tasks = [
        Task(subject, max(1, round(subject.of.episodes * share)) if subject.of.episodes else 4, number)
        for number, subject in enumerate(chosen)
    ]
    progress = Progress(len(tasks), sys.stderr)
    for outcome in examined(tasks, options.workers, EVERY_S):
        if outcome is not None:
            outcomes.append(outcome)
            if new := report.unexpected(outcome):
                progress.clear()
                sys.stdout.writelines(f"{line[:600]}\n" for line in new)
                sys.stdout.flush()
                wrong += new
        progress.tell(outcomes)
    progress.clear()
    outcomes.sort(key=lambda each: chosen.index(each.subject))
    sys.stdout.write(f"{report.summary(outcomes)}\n{len(wrong)} wrong, {time.monotonic() - begun:.0f} s\n")
    if options.write:
        report.write(outcomes, _DOCS, " ".join(["python -m tests.conformance", *sys.argv[1:]]))
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
