"""``spec-envs bench all``: the paper's whole evaluation by one command, and a report to look at."""

import dataclasses
import os
from pathlib import Path

import click

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import SpreadSettings, setting
from spec_envs.benchmarks.processes import Workers


@dataclasses.dataclass(frozen=True, kw_only=True)
class AllSettings(SpreadSettings):
    """Run chess, retail, search, tuning and tools with and without speculation, and write a report.

    Writes results.json, and report.html, a page that opens from disk. If recordings, Stockfish, Chromium or sysbench
    are missing, the parts that need them are left out, and the report says how to get them.
    """

    out: Path = setting(
        dataclasses.MISSING, "Folder for the results.", type=click.Path(file_okay=False, path_type=Path)
    )
    quick: bool = setting(False, "Fewer episodes, and in virtual time only: a few minutes on two cores.", flag=True)
    data: Path | None = setting(
        None,
        "Folder with recordings: chess_gpt5/*.json, hotpotqa_react/trajectories.json, tau_bench/.",
        type=options.FOLDER,
        default_text="only what is embedded",
    )
    resume: bool = setting(
        False,
        "Go on with an earlier run in --out: keep its results if the settings and this package are the same.",
        flag=True,
    )
    jobs: int | None = options.jobs(None, "the number of cores, at most 8")
    seed: int = options.seed()

    @property
    def workers(self) -> Workers:
        """The workers that run the episodes."""
        cores = min(8, os.cpu_count() or 1)
        return Workers(cores if self.jobs is None and self.ray is None else self.jobs, self.ray)
