"""Options of the commands, each written once: as a field of the settings that a command is given.

``setting`` makes such a field, with its help and its bounds. ``options_of`` makes the options of a command from the
fields of a ``Settings`` class, and the class itself checks the same bounds, so that a wrong value is refused by name
wherever it comes from. Modules with settings import little, because ``--help`` imports them all.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from spec_envs.errors import InvalidConfiguration

Clock = Literal["virtual", "wall"]
Command = TypeVar("Command", bound=Callable[..., Any])

#: A file that must exist.
FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
#: A folder that must exist.
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@dataclasses.dataclass(frozen=True, slots=True)
class _About:
    """What is known of an option besides its name, type and default; see ``setting``."""

    help: str
    ge: float | None
    gt: float | None
    le: float | None
    default_text: str | None
    type: click.ParamType[Any] | None
    required: bool

    def check(self, name: str, value: Any, choices: Sequence[Any]) -> None:
        if choices and value not in choices:
            raise InvalidConfiguration(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        bounds = [f"at least {self.ge}"] if self.ge is not None else [f"above {self.gt}"] if self.gt is not None else []
        if self.le is not None:
            bounds.append(f"at most {self.le}")
        elif isinstance(value, float):
            bounds.append("finite")
        inside = (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (not isinstance(value, float) or math.isfinite(value))
        )
        if bounds and not inside:
            raise InvalidConfiguration(f"{name} must be {' and '.join(bounds)}, not {value!r}")


def setting(
    default: Any,
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    default_text: str | None = None,
    type: click.ParamType[Any] | None = None,
    required: bool = False,
) -> Any:
    """A field of a ``Settings`` class, and an option of the command that is given these settings.

    The field's annotation gives the option's type: ``Literal`` its choices, and ``| None`` an option that may be left
    out.

    Args:
        default: The default of both.
        help: What the option means.
        ge: The least value that is allowed.
        gt: All values above this one are allowed.
        le: The greatest value that is allowed.
        default_text: How the help describes the default, where the value itself does not say it.
        type: The option's type, where the annotation does not say it, as for a file that must exist.
        required: Whether the option must be given on the command line.
    """
    about = _About(help, ge, gt, le, default_text, type, required)
    return dataclasses.field(default=default, metadata={"about": about})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: checks the bounds of every field.

    Raises:
        InvalidConfiguration: A value is out of bounds, or makes no sense together with the others; the message names
            the setting.
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                field.metadata["about"].check(field.name, value, _choices_of(hints[field.name]))
        self.check()

    def check(self) -> None:
        """Check what the bounds of single fields cannot say; subclasses override it."""


# Fields of several experiments, so that they are spelled and explained alike.


def k() -> Any:
    """How many guesses a guesser may return for one call."""
    return setting(3, "Guesses for one call.", ge=1)


def max_inflight(default: int | None, default_text: str | None = None) -> Any:
    """How many speculative calls may be in flight at once."""
    return setting(default, "Speculative calls in flight at once.", ge=0, default_text=default_text)


def seed(help: str = "Seed of everything that is drawn at random.") -> Any:
    """A seed."""
    return setting(0, help, ge=0)


def speed(default: float) -> Any:
    """How fast the wall clock runs."""
    return setting(default, "With --clock wall: seconds of the experiment in one real second.", gt=0)


def clock() -> Any:
    """Which clock the experiment runs on."""
    return setting(
        "virtual", "virtual: waiting is simulated on one thread, and takes no real time. wall: threads really wait."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClockSettings(Settings):
    """Base of the settings of experiments that run on a virtual clock or on the wall clock."""

    clock: Clock = clock()
    speed: float = speed(100.0)

    @property
    def time_scale(self) -> float:
        """Seconds of the experiment in one second of the clock."""
        return self.speed if self.clock == "wall" else 1.0


def options_of(settings: type[Settings]) -> Callable[[Command], Command]:
    """A decorator that gives a command the options of ``settings``: those of the class first, then inherited ones."""
    hints = typing.get_type_hints(settings)
    fields = {field.name: field for field in dataclasses.fields(settings)}
    own = list(settings.__annotations__)
    inherited = [name for name in fields if name not in own]

    def decorate(command: Command) -> Command:
        for name in reversed(own + inherited):
            command = _option(fields[name], hints[name])(command)
        return command

    return decorate


def _option(field: dataclasses.Field[Any], hint: Any) -> Callable[[Command], Command]:
    about: _About = field.metadata["about"]
    return click.option(
        f"--{field.name.replace('_', '-')}",
        type=about.type or _type_of(hint, about),
        default=None if about.required else field.default,
        show_default=about.default_text is None and not about.required,
        required=about.required,
        help=about.help if about.default_text is None else f"{about.help}  [default: {about.default_text}]",
    )


def _type_of(hint: Any, about: _About) -> click.ParamType[Any]:
    if choices := _choices_of(hint):
        return click.Choice(choices)
    least = about.ge if about.gt is None else about.gt
    match _without_none(hint):
        case builtin if builtin is int:
            return click.IntRange(
                min=None if least is None else int(least), max=None if about.le is None else int(about.le)
            )
        case builtin if builtin is float:
            return click.FloatRange(min=least, max=about.le, min_open=about.gt is not None)
        case _:
            return click.STRING


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
    return hint


def _choices_of(hint: Any) -> tuple[str, ...]:
    hint = _without_none(hint)
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


class OutputFile(click.Path):
    """A file to write, or ``-``. It is refused before the work is done if it could not be written afterwards."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if str(path) != "-" and not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}.", param, ctx)
        return path


class ManyFiles(click.Command):
    """A command whose repeatable options take all the arguments up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``--games a b`` as ``--games a --games b``, which click understands."""
        for param in self.params:
            if isinstance(param, click.Option) and param.multiple:
                args = _repeated(args, param.opts[0])
        return super().parse_args(ctx, args)


def _repeated(args: Sequence[str], option: str) -> list[str]:
    result: list[str] = []
    taking = given = False
    for arg in args:
        if arg.startswith("-") and arg != "-":
            taking = arg == option or arg.startswith(f"{option}=")
            given = not taking or arg != option
        elif taking and given:
            result.append(option)
        else:
            given = True
        result.append(arg)
    return result


#: The option ``--json`` of every experiment.
json_file = click.option(
    "--json",
    "json_file",
    type=OutputFile(),
    help="Write the results to this file as JSON, and print no table (-: standard output).",
)
