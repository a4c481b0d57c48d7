"""``spec-envs retail`` and ``spec-envs tuning``: checks of these environments, and the repair of changed settings."""

from __future__ import annotations

from pathlib import Path

import click

from spec_envs.benchmarks import options


@click.group()
def retail() -> None:
    """The retail environment: check it against tau-bench, and check that speculation changes nothing."""


@retail.command()
@click.option(
    "--data", default="embedded", show_default=True, help='"embedded", or a folder with the data of tau-bench.'
)
@click.option("--tasks", default="embedded", show_default=True, help='"embedded", or a JSON file with tasks.')
@click.option(
    "--json",
    "json_file",
    type=options.OutputFile(),
    default="-",
    show_default=True,
    help="File to write (-: standard output).",
)
def replay(data: str, tasks: str, json_file: Path) -> None:
    """Replay the gold actions of tasks: outputs of the tools, and tau-bench's hash of the data at the end."""
    from spec_envs.benchmarks.retail.replay import run

    run(data, tasks, json_file)


@retail.command("certify")
@click.option("--seeds", type=click.IntRange(min=1), default=200, show_default=True, help="Episodes to compare.")
@click.option(
    "--learn",
    type=click.IntRange(min=1),
    default=40,
    show_default=True,
    help="Tasks that the guessers learn from beforehand.",
)
def certify_retail(seeds: int, learn: int) -> None:
    """Compare episodes of the generated shop with and without speculation; exit code 1 if they differ."""
    from spec_envs.benchmarks.retail.certify import certify_retail

    certificate = certify_retail(range(seeds), learn)
    click.echo(str(certificate))
    if not certificate:
        raise click.exceptions.Exit(1)


@click.group()
def tuning() -> None:
    """The tuning environment: put back what it changed on this machine, and check that speculation changes nothing."""


@tuning.command()
@click.option("--journal", type=options.FOLDER, help="Folder of the journal.  [default: that of the user]")
def restore(journal: Path | None) -> None:
    """Put back every setting that a killed run has left changed."""
    from spec_envs.tuning.journal import Journal

    with Journal(journal) as opened:
        for path, value in opened.restored.items():
            click.echo(f"{path} is {value!r} again")
        if not opened.restored:
            click.echo("nothing was left changed")


@tuning.command("certify")
@click.option("--seeds", type=click.IntRange(min=1), default=100, show_default=True, help="Episodes to compare.")
def certify_tuning(seeds: int) -> None:
    """Compare the plain with the speculative loop on the simulator, step by step."""
    from spec_envs.benchmarks.tuning.certify import run

    run(seeds)
