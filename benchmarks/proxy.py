"""``spec-envs mcp-proxy``: the commands of the proxy for MCP clients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spec_envs.benchmarks import options
from spec_envs.brief import brief
from spec_envs.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType


class _Proxy(options.Group):
    """A group without whose commands ``serve`` is meant: ``mcp-proxy -- COMMAND`` and ``mcp-proxy status``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find the command."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of ``serve``, which stand before ``--``, and then the commands."""
        serving = self.commands["serve"]
        options = [each for each in serving.get_params(ctx) if isinstance(each, click.Option)]
        with formatter.section("Options"):
            formatter.write_dl([record for each in options if (record := each.get_help_record(ctx)) is not None])
        self.format_commands(ctx, formatter)


@click.group("mcp-proxy", cls=_Proxy, options_metavar="[OPTIONS] -- COMMAND ARG…", subcommand_metavar="")
def mcp_proxy() -> None:
    """Stand in front of any MCP server, and make the client's likely next reads while its model thinks.

    `spec-envs mcp-proxy -- COMMAND ARG…` is given to a client in place of COMMAND. Nothing is called ahead of time that
    is not declared: by --trust-annotations, or in a TOML file (--config). See docs/mcp-proxy.md.
    """


@mcp_proxy.command()
@click.option("--config", "file", type=options.FILE, help="TOML file with servers, rules of tools, and limits.")
@click.option("--name", help="Name of the server that COMMAND runs.  [default: that of its package or program]")
@click.option(
    "--trust-annotations/--no-trust-annotations",
    default=None,
    help="Call tools ahead of time that the server hints to be read-only; each result is used once.",
)
@click.option("--http", "port", type=click.IntRange(1, 65535), help="Serve clients by streamable HTTP at this port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --http: address to listen at.")
@click.option("--learn/--no-learn", "learns", default=True, show_default=True, help="Learn for later sessions.")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="Folder for what sessions keep.")
@click.option("--record", type=options.OutputFile(), help="Append all messages to this file, for `mcp-proxy learn`.")
@click.option("--trace", type=options.OutputFile(), help="Append what happens to this file, for `spec-envs trace`.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND ARG…]")
def serve(
    file: Path | None,
    name: str | None,
    trust_annotations: bool | None,
    port: int | None,
    host: str,
    command: tuple[str, ...],
    **given: Any,
) -> None:
    """Serve a client on standard input and output, or any number of clients by HTTP."""
    from spec_envs.integrations import mcp_proxy as proxy

    found: dict[str, Any] = {"servers": []} if file is None else proxy.read_config(file)
    if command:
        found["servers"].append(proxy.ServerConfig(name=name or proxy.server_name(command), command=command))
    elif name is not None:
        raise InvalidConfiguration("--name names the server of COMMAND, and no command is given after --")
    if trust_annotations is not None:
        found["trust_annotations"] = trust_annotations
    config = proxy.ProxyConfig(**found, **given)
    if port is None:
        proxy.serve_stdio(config)
    else:
        proxy.serve_http(config, host, port)


@mcp_proxy.command()
@click.argument("files", nargs=-1, required=True, type=options.FILE, metavar="FILE...")
@click.option("--out", type=options.OutputFile(), default="-", show_default=True, help="File to write (-: stdout).")
def learn(files: tuple[Path, ...], out: Path) -> None:
    """Propose rules for tools, for a person to read, from traffic that --record has written."""
    from spec_envs.benchmarks.reports import write_text
    from spec_envs.integrations.mcp_proxy.learn import proposal

    write_text(proposal(files), out)


@mcp_proxy.command()
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="Folder for what sessions keep.")
@options.json_file
def status(state: Path | None, json_file: Path | None) -> None:
    """Show what was saved, what was called in vain, what was held back, and what was learned."""
    from spec_envs.benchmarks.reports import publish
    from spec_envs.integrations.mcp_proxy.report import read_status

    publish(json_file, lambda: read_status(state), _shown)


_SERVERS = {
    "servers": "{name}",
    "calls": "{calls:.0f}",
    "hits": "{hit_rate:.1%}",
    "saved": "{saved_s:.1f} s",
    "ahead": "{started:.0f}",
    "in vain": "{in_vain:.0f}",
    "last used": "{updated}",
}
#: Two calls fit in a line.
_CALL_LENGTH = 32
_TOOLS = {
    "tool": "{tool}",
    "called": "{called}",
    "p50 called": "{called_p50_ms:.1f}",
    "p95 called": "{called_p95_ms:.1f}",
    "ready": "{ready}",
    "p50 ready": "{ready_p50_ms:.1f}",
    "p95 ready": "{ready_p95_ms:.1f}",
}


def _shown(report: dict[str, Any]) -> Iterator[RenderableType]:
    from rich.text import Text

    from spec_envs.benchmarks.reports import table_of

    if not report["servers"]:
        yield f"Nothing is kept in {report['state']}: no proxy has served a client yet."
        return
    yield table_of("What the proxy has saved", _SERVERS, report["servers"])
    for server in report["servers"]:
        own = f"{server['name']}:"  # not said of each tool, unless there are several servers
        tools = [{**each, "tool": each["tool"].removeprefix(own)} for each in server["tools"]]
        yield table_of(f"\n{server['name']}: milliseconds that the client waited", _TOOLS, tools)
        for problem in server["problems"]:
            yield Text(f"The rules do not fit: {problem}.")
        held = ", ".join(f"{count} {why}" for why, count in server["held_back"].items() if count)
        if held:
            yield f"Predicted, and not made ahead of time: {held}."
        if server["sequences"]:
            yield "Which call followed which, and how often:"
        for each in server["sequences"][:5]:
            after, then = (_call_text(each[name], own) for name in ("after", "then"))
            yield Text(f"{each['times']:4}x {after} -> {then}")
    yield '"calls": all calls of the client. "in vain": calls ahead of time that nobody needed.'
    yield '"called": the last calls that the server answered for the client. "ready": whose result was there.'
    yield f"Kept in {report['state']}."


def _call_text(call: Mapping[str, Any], own: str) -> str:
    """A call as a short text; its name without ``own``."""
    text = f"{call['name'].removeprefix(own)} {brief(call['arguments'])}"
    return text if len(text) <= _CALL_LENGTH else f"{text[: _CALL_LENGTH - 1]}…"


@mcp_proxy.command("config", context_settings={"ignore_unknown_options": True})
@click.argument("client", type=click.Choice(["claude-code", "codex", "cursor", "vscode"]))
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND ARG…")
def config_(client: str, command: tuple[str, ...]) -> None:
    """Print what to add to the settings of CLIENT, so that it starts COMMAND through the proxy."""
    from spec_envs.integrations.mcp_proxy.snippets import snippet

    click.echo(snippet(client, command))
