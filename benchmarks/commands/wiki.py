"""``spec-envs wiki``."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--corpus",
    default="embedded",
    show_default=True,
    metavar="SOURCE",
    help="A folder of texts, or a .jsonl or HotpotQA .json file, instead of the wiki of the package.",
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
    """Serve a wiki as a MediaWiki site does, until interrupted. Prints its address."""
    import signal
    import threading

    from spec_envs.search.loading import load_corpus
    from spec_envs.search.local_wiki.server import WikiSite

    with WikiSite(load_corpus(corpus), host=host, port=port, latency_s=latency_s) as site:
        stop = threading.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: stop.set())
        click.echo(site.url)
        stop.wait()
