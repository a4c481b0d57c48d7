"""``spec-envs serve-model``, ``shop`` and ``wiki``: local servers that stand in for a model, a shop and a website."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click


@click.command("serve-model")
@click.option(
    "--policy",
    required=True,
    metavar="chess|retail|search|tools|MODULE:NAME",
    help="The model: Stockfish or else the built-in engine (chess), a scripted clerk (retail), a scripted reader "
    "(search), a caller of all tools that are offered (tools), or any function that takes a ChatRequest and returns a "
    "Completion or its text (MODULE:NAME).",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port; 0 takes a free one.")
@click.option("--name", help="Name of the model.  [default: the policy's name, or model]")
@click.option(
    "--first-token-s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Median time to the first token, in seconds.",
)
@click.option(
    "--tokens-per-s",
    type=click.FloatRange(min=0, min_open=True),
    help="Median rate of the tokens after it.  [default: no limit]",
)
@click.option(
    "--spread",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Sigma of the lognormal distributions of both; equal requests take equally long.",
)
@click.option(
    "--reasoning-tokens",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Tokens of reasoning written before each answer.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the times.")
@click.option(
    "--max-calls",
    type=click.IntRange(min=1),
    help="Allow this many requests in --per-s seconds, and refuse others with status 429.  [default: no limit]",
)
@click.option(
    "--per-s",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="The time of --max-calls, in seconds.",
)
def serve_model(
    policy: str,
    host: str,
    port: int,
    name: str | None,
    tokens_per_s: float | None,
    max_calls: int | None,
    per_s: float,
    **pace: Any,
) -> None:
    """Serve a scripted model over OpenAI's protocol, so that agents and guessers can be tried without a paid model.

    Prints the address that a client takes as its base URL, and serves until it is interrupted. GET /stats returns how
    many tokens were produced for each request, and how many clients hung up.
    """
    from spec_envs.benchmarks.serving import ModelServer, Pace

    sys.path.insert(0, "")  # so that MODULE may be in the current folder
    limit = None if max_calls is None else (max_calls, per_s)
    speed = Pace(tokens_per_s=math.inf if tokens_per_s is None else tokens_per_s, **pace)
    with (
        contextlib.suppress(KeyboardInterrupt),
        ModelServer(policy, name=name, host=host, port=port, pace=speed, rate_limit=limit) as server,
    ):
        click.echo(server.base_url)
        click.echo(f"model {server.name}; statistics at {server.address}/stats; Ctrl-C ends it", err=True)
        server.wait()


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
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; clients are not authenticated."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    default=":memory:",
    show_default=True,
    help="SQLite file for episodes, answers and the log.",
)
@click.option(
    "--slow-seconds",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="How late a slow call is carried out.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed that chooses the calls.")
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
    """Serve the tools of the retail shop over HTTP, with real writes, until Ctrl-C. Prints its address."""
    from spec_envs.retail.loading import load_data
    from spec_envs.retail.shop.app import Faults, serving
    from spec_envs.retail.shop.database import ShopDatabase

    faults = Faults(
        lost_before=lose_before, lost_after=lose_after, failed=fail, slow=slow, slow_s=slow_seconds, seed=seed
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends in order, as Ctrl-C does
    try:
        with (
            ShopDatabase(load_data(data), database) as opened,
            serving(opened, faults=faults, host=host, port=port) as served,
        ):
            click.echo(served.address)
            served.wait()
    except KeyboardInterrupt:
        pass


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--corpus",
    default="embedded",
    show_default=True,
    metavar="SOURCE",
    help='Articles: "embedded" for the wiki of this package, a folder of texts, or a .jsonl or HotpotQA .json file.',
)
@click.option(
    "--latency",
    "latency_s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a page takes.",
)
def wiki(host: str, port: int, corpus: str, latency_s: float) -> None:
    """Serve a wiki in the way of MediaWiki, until interrupted. Prints its address."""
    from spec_envs.search.loading import load_corpus
    from spec_envs.search.local_wiki.server import WikiSite

    with WikiSite(load_corpus(corpus), host=host, port=port, latency_s=latency_s) as site:
        stop = threading.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: stop.set())
        click.echo(site.url)
        stop.wait()
