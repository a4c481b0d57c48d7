"""``spec-envs serve-model``, ``shop`` and ``wiki``: local servers that stand in for a model, a shop and a website."""

import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from spec_envs.benchmarks.options import Command, Settings, options_of, setting
from spec_envs.benchmarks.serving.behaviour import Pace
from spec_envs.errors import InvalidConfiguration

#: The time in which --max-calls are allowed, in seconds.
_WINDOW_S = 60.0


def _address(port: int, help: str = "Address to listen at.") -> Callable[[Command], Command]:
    """A decorator that gives a command the options ``--host`` and ``--port``."""
    ports = click.IntRange(0, 65535)

    def decorate(command: Command) -> Command:
        command = click.option("--port", type=ports, default=port, show_default=True, help="Port; 0 takes a free one.")(
            command
        )
        return click.option("--host", default="127.0.0.1", show_default=True, help=help)(command)

    return decorate


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ModelSettings(Pace):
    max_calls: int | None = setting(
        None,
        "Allow this many requests in --per-s seconds, and refuse others with status 429.",
        ge=1,
        default_text="no limit",
    )
    per_s: float | None = setting(None, "The time of --max-calls, in seconds.", gt=0, default_text=f"{_WINDOW_S:g}")
    slots: int | None = setting(None, "Answer this many requests at once.", ge=1, default_text="all")
    queue: Literal["fifo", "drop"] = setting(
        "fifo", "A request that finds no free slot waits for its turn (fifo), or drops the oldest request (drop)."
    )

    def check(self) -> None:
        """Check that what belongs to another option is given only with it."""
        if self.per_s is not None and self.max_calls is None:
            raise InvalidConfiguration(
                f"--per-s {self.per_s:g} is the time of --max-calls: give --max-calls, too, or leave out --per-s"
            )
        if self.queue == "drop" and self.slots is None:
            raise InvalidConfiguration(
                "--queue drop is for requests that find no free slot: give --slots, too, or leave out --queue"
            )

    @property
    def rate_limit(self) -> tuple[int, float] | None:
        """The calls, and the seconds in which so many are allowed."""
        return None if self.max_calls is None else (self.max_calls, self.per_s or _WINDOW_S)


@click.command("serve-model")
@click.option(
    "--policy",
    required=True,
    metavar="chess|retail|search|tools|MODULE:NAME",
    help="The model: Stockfish or else the built-in engine (chess), a scripted clerk (retail), a scripted reader "
    "(search), a caller of all tools that are offered (tools), or any function that takes a ChatRequest and returns a "
    "Completion or its text (MODULE:NAME).",
)
@_address(0)
@click.option("--name", help="Name of the model.  [default: the policy's name, or model]")
@options_of(_ModelSettings)
def serve_model(policy: str, host: str, port: int, name: str | None, **given: Any) -> None:
    """Serve a scripted model over OpenAI's protocol, so that agents and guessers can be tried without a paid model.

    Prints the address that a client takes as its base URL, and serves until it is interrupted. GET /stats returns how
    many tokens were produced for each request, and how many clients hung up.
    """
    from spec_envs.benchmarks.serving import ModelServer

    sys.path.insert(0, "")  # so that MODULE may be in the current folder
    pace = _ModelSettings(**given)
    with (
        contextlib.suppress(KeyboardInterrupt),
        ModelServer(
            policy,
            name=name,
            host=host,
            port=port,
            pace=pace,
            rate_limit=pace.rate_limit,
            slots=pace.slots,
            queue=pace.queue,
        ) as server,
    ):
        click.echo(server.base_url)
        click.echo(f"model {server.name}; statistics at {server.address}/stats; Ctrl-C ends it", err=True)
        server.wait()


def _share(what: str) -> Any:
    return setting(0.0, f"Share of the calls {what}.", ge=0, le=1, default_text="0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Faults(Settings):
    lose_before: float = _share("that get lost on their way")
    lose_after: float = _share("that are carried out and whose answers get lost")
    fail: float = _share("that are answered with status 500, and not carried out")
    slow: float = _share("that are carried out late")
    slow_seconds: float = setting(1.0, "How late a slow call is carried out.", ge=0)
    seed: int = setting(0, "Seed that chooses the calls.", ge=0)


@click.command()
@click.option("--data", default="embedded", show_default=True, help='"embedded", or a folder with tau-bench\'s data.')
@_address(8000, "Address to listen at; clients are not authenticated.")
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    default=":memory:",
    show_default=True,
    help="SQLite file for episodes, answers and the log.",
)
@options_of(_Faults)
def shop(data: str, host: str, port: int, database: Path, **faults: Any) -> None:
    """Serve the tools of the retail shop over HTTP, with real writes, until Ctrl-C. Prints its address."""
    from spec_envs.retail.loading import load_data
    from spec_envs.retail.shop.app import Faults, serving
    from spec_envs.retail.shop.database import ShopDatabase

    given = _Faults(**faults)
    wanted = Faults(
        lost_before=given.lose_before,
        lost_after=given.lose_after,
        failed=given.fail,
        slow=given.slow,
        slow_s=given.slow_seconds,
        seed=given.seed,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends in order, as Ctrl-C does
    with (
        contextlib.suppress(KeyboardInterrupt),
        ShopDatabase(load_data(data), database) as opened,
        serving(opened, faults=wanted, host=host, port=port) as served,
    ):
        click.echo(served.address)
        served.wait()


@click.command()
@_address(8080)
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
    """Serve a wiki with the pages and addresses of MediaWiki, until Ctrl-C. Prints its address."""
    from spec_envs.search.loading import load_corpus
    from spec_envs.search.local_wiki.server import WikiSite

    with WikiSite(load_corpus(corpus), host=host, port=port, latency_s=latency_s) as site:
        stop = threading.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: stop.set())
        click.echo(site.url)
        stop.wait()
