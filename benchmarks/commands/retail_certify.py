"""``spec-envs retail certify``."""

from __future__ import annotations

import click


@click.command("certify")
@click.option("--seeds", type=click.IntRange(min=1), default=200, show_default=True, help="Episodes to compare.")
@click.option(
    "--learn", type=click.IntRange(min=1), default=40, show_default=True, help="Learn from so many tasks before."
)
def retail_certify(seeds: int, learn: int) -> None:
    """Compare episodes of the generated shop with and without speculation; exit code 1 if they differ."""
    from spec_envs.benchmarks.retail.certify import certify_retail

    certificate = certify_retail(range(seeds), learn)
    click.echo(str(certificate))
    if not certificate:
        raise click.exceptions.Exit(1)
