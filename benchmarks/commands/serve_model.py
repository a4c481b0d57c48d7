"""``spec-envs serve-model``."""

from __future__ import annotations

import contextlib
from typing import Any

import click


@click.command("serve-model")
@click.option(
    "--policy",
    required=True,
    metavar="chess|retail|search|tools|MODULE:NAME",
    help="Who answers: Stockfish (or the built-in engine), a scripted clerk, a scripted reader, a caller of whatever "
    "tools it is offered; or any function that takes a ChatRequest and returns a Completion or its text.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option("--name", help="What the model is called.  [default: the policy's name, or model]")
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
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the times.")
@click.option("--max-calls", type=click.IntRange(min=1), help="Requests in --per-s seconds; more get status 429.")
@click.option(
    "--per-s",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="The time for --max-calls, in seconds.",
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
    """Serve a scripted model over OpenAI's protocol, so that the whole path can be run without a paid one.

    Prints the address to give to a client as its base URL, and serves until it is interrupted. GET /stats tells how
    many tokens were produced for each request, and how many clients hung up.
    """
    import math
    import sys

    from spec_envs.benchmarks.serving import ModelServer, Pace

    sys.path.insert(0, "")  # MODULE is found where the command is run, too
    limit = None if max_calls is None else (max_calls, per_s)
    speed = Pace(tokens_per_s=math.inf if tokens_per_s is None else tokens_per_s, **pace)
    with (
        contextlib.suppress(KeyboardInterrupt),
        ModelServer(policy, name=name, host=host, port=port, pace=speed, rate_limit=limit) as server,
    ):
        click.echo(server.base_url)
        click.echo(f"model {server.name}; statistics at {server.address}/stats; Ctrl-C ends it", err=True)
        server.wait()
