"""``spec-envs shop``."""

from __future__ import annotations

import signal
from pathlib import Path

import click


def _share(name: str, what: str) -> click.Option:
    help_text = f"Share of the calls {what}.  [default: 0]"
    return click.Option([name], type=click.FloatRange(0, 1), default=0.0, help=help_text)


@click.command(
    params=[
        _share("--lose-before", "that get lost on their way"),
        _share("--lose-after", "that are carried out and whose answers get lost"),
        _share("--fail", "that are answered with status 500, and not carried out"),
        _share("--slow", "that are carried out late"),
    ]
)
@click.option("--data", default="embedded", show_default=True, help='"embedded", or a folder with tau-bench\'s data.')
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; nobody is asked who they are."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    default=":memory:",
    show_default=True,
    help="SQLite file to keep episodes, answers and the log in.",
)
@click.option("--slow-seconds", type=click.FloatRange(min=0), default=1.0, show_default=True, help="How late.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which of the calls.")
def shop(
    data: str,
    host: str,
    port: int,
    database: Path,
    lose_before: float,
    lose_after: float,
    fail: float,
    slow: float,
    slow_seconds: float,
    seed: int,
) -> None:
    """Serve the retail shop's tools over HTTP, with writes that are real, until Ctrl-C. Prints its address."""
    from spec_envs.retail.loading import load_data
    from spec_envs.retail.shop.database import ShopDatabase
    from spec_envs.retail.shop.faults import Faults
    from spec_envs.retail.shop.server import serving

    faults = Faults(
        lost_before=lose_before, lost_after=lose_after, failed=fail, slow=slow, slow_s=slow_seconds, seed=seed
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does, and so in order
    try:
        with (
            ShopDatabase(load_data(data), database) as opened,
            serving(opened, faults=faults, host=host, port=port) as served,
        ):
            click.echo(served.address)
            served.wait()
    except KeyboardInterrupt:
        pass
