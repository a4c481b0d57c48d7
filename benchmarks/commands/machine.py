"""``spec-envs tuning``: ``restore`` puts the machine's settings back, ``certify`` checks that nothing is lost."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def tuning() -> None:
    """What SpecTuning-v0 changed on this machine, and whether speculation changes what it does."""


@tuning.command()
@click.option(
    "--journal",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the journal.  [default: that of this user]",
)
def restore(journal: Path | None) -> None:
    """Put back every setting that a run which was killed has left changed."""
    from spec_envs.tuning.system.journal import Journal

    with Journal(journal) as opened:
        for path, value in opened.restored.items():
            click.echo(f"{path} is {value!r} again")
        if not opened.restored:
            click.echo("nothing was left changed")


@tuning.command()
@click.option("--seeds", type=click.IntRange(min=1), default=100, show_default=True, help="Episodes to compare.")
def certify(seeds: int) -> None:
    """Compare the plain with the speculative loop on the simulator, step by step."""
    from spec_envs.benchmarks.tuning.certify import run

    run(seeds)
