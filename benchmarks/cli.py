"""The command ``spec-envs``, whose commands are in ``commands/``.

An error of the library is shown as one line; the exit code is 2 for an input that cannot be used, and 1 for a run that
failed.
"""

from __future__ import annotations

from typing import Any

import click

from spec_envs.benchmarks.commands import checks, play, serve
from spec_envs.benchmarks.commands.bench import bench


class _Failed(click.ClickException):
    exit_code = 1


class _BadInput(click.ClickException):
    exit_code = 2


class Commands(click.Group):
    """A group that shows errors without a traceback, except those that are bugs of this package."""

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
        return None  # click handles it: the program that read our output has ended
    if isinstance(error, OSError) and error.filename is not None:
        return _BadInput(f"{error.filename}: {error.strerror}")
    return _Failed(f"{type(error).__name__}: {error}") if isinstance(error, SpecEnvsError) else None


@click.group(cls=Commands)
@click.version_option(package_name="spec-envs")
def main() -> None:
    """Agents made faster by lossless speculation: a demonstration, and measurements."""


for command in (
    bench,
    play.demo,
    play.play,
    checks.retail,
    checks.tuning,
    serve.serve_model,
    serve.shop,
    serve.wiki,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
