"""The command ``spec-envs``.

The commands are in ``commands/``; what one needs is imported when it runs, so that ``--help`` is quick. An error of the
library is shown as one line; the exit code is 2 for an input that cannot be used, and 1 for a run that failed.
"""

from __future__ import annotations

from typing import Any

import click

from spec_envs.benchmarks.commands import (
    bench_retail,
    bench_tools,
    bench_tuning,
    chess,
    crowd,
    demo,
    guess,
    machine,
    overhead,
    play,
    retail,
    retail_certify,
    search,
    search_web,
    serve_model,
    served_chess,
    shop,
    wiki,
)


class _Failed(click.ClickException):
    exit_code = 1


class _BadInput(click.ClickException):
    exit_code = 2


class Commands(click.Group):
    """A group that shows what went wrong without a traceback, unless it is our own fault."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            failure = _failure(error)
            if failure is None:
                raise
            raise failure from error


def _failure(error: Exception) -> click.ClickException | None:
    from gymnasium.error import DependencyNotInstalled

    from spec_envs.errors import InvalidConfiguration, SpecEnvsError

    if isinstance(error, InvalidConfiguration | DependencyNotInstalled):
        return _BadInput(str(error))
    if isinstance(error, BrokenPipeError):
        return None  # click's business: whoever read our output has stopped
    if isinstance(error, OSError) and error.filename is not None:
        return _BadInput(f"{error.filename}: {error.strerror}")
    return _Failed(f"{type(error).__name__}: {error}") if isinstance(error, SpecEnvsError) else None


@click.group(cls=Commands)
@click.version_option(package_name="spec-envs")
def main() -> None:
    """Agents made faster by lossless speculation: a demonstration, and measurements."""


@main.group()
def bench() -> None:
    """Measure what speculation saves, and what it costs."""


for command in (
    bench_retail.retail,
    bench_tools.bench_tools,
    bench_tuning.tuning,
    chess.chess,
    crowd.crowd,
    guess.guess,
    overhead.overhead,
    search.search,
    search_web.search_web,
    served_chess.served_chess,
):
    bench.add_command(command)

for command in (
    demo.demo,
    machine.tuning,
    play.play,
    retail.retail,
    serve_model.serve_model,
    shop.shop,
    wiki.wiki,
):
    main.add_command(command)
retail.retail.add_command(retail_certify.retail_certify)


if __name__ == "__main__":
    main()
