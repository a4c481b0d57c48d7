"""Options of the commands, each written once: as a field of the settings that a command is given.

``setting`` makes such a field, with its help and its bounds. ``options_of`` makes the options of a command from the
fields of a ``Settings`` class, and the class itself checks the same bounds, so that a wrong value is refused by name
wherever it comes from. Modules with settings import little, because ``--help`` imports them all.
"""

import dataclasses
import math
import operator
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from spec_envs.benchmarks.processes import ANY_CLUSTER, Workers
from spec_envs.checks import as_integer, as_number
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import Limits
from spec_envs.wrappers.estimates import Estimates

Clock = Literal["virtual", "wall"]
Command = TypeVar("Command", bound=Callable[..., Any])

#: A file that must exist.
FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
#: A folder that must exist.
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def setting(
    default: Any,
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    default_text: str | None = None,
    type: "click.ParamType[Any] | None" = None,  # as text: click had no generic types before 8.4
    flag: bool = False,
    bare: str | None = None,
) -> Any:
    """A field of a ``Settings`` class, and an option of the command that is given these settings.

    The field's annotation gives the option's type: ``Literal`` its choices, and ``| None`` an option that may be left
    out.

    Args:
        default: The default of both; ``dataclasses.MISSING`` where a value must be given.
        help: What the option means.
        ge: The least value that is allowed.
        gt: All values above this one are allowed.
        le: The greatest value that is allowed.
        default_text: How the help describes the default, where the value itself does not say it.
        type: The option's type, where the annotation does not say it, as for a file that must exist.
        flag: Whether it is an option without a value, for a field that is true or false.
        bare: The value of the option if it is given without one.
    """
    kept = {"ge": ge, "gt": gt, "le": le, "help": help, "text": default_text, "type": type}
    return dataclasses.field(default=default, metadata=kept | {"flag": flag, "bare": bare})


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
            value, hint = getattr(self, field.name), hints[field.name]
            if value is None:
                continue
            if what := _wrong_number(hint, value):
                raise InvalidConfiguration(f"{field.name} must be {what}, not {value!r:.200}")
            if not (rule := _rule(field.metadata, _choices_of(hint), value))[0]:
                raise InvalidConfiguration(f"{field.name} must be {rule[1]}, not {value!r:.200}")
        self.check()

    def check(self) -> None:
        """Check what the bounds of single fields cannot say; subclasses override it."""


def _wrong_number(hint: Any, value: object) -> str | None:
    """Return what the hint wants where it wants a number and ``value`` is none."""
    kinds = {*(typing.get_args(hint) or (hint,))} - {type(None)}
    if kinds == {int} and as_integer(value) is None:
        return "an integer"
    if kinds == {float} and value == value and math.isnan(as_number(value)):  # NaN itself is out of bounds
        return "a number"
    return None


def _rule(bounds: Mapping[str, Any], choices: Sequence[Any], value: Any) -> tuple[bool, str]:
    """Whether a setting may have the value, and the rule in words."""
    if choices:
        return value in choices, f"one of {', '.join(choices)}"
    rules = [
        (f"{words} {bounds[name]}", holds(value, bounds[name]))
        for name, words, holds in (
            ("ge", "at least", operator.ge),
            ("gt", "above", operator.gt),
            ("le", "at most", operator.le),
        )
        if bounds[name] is not None
    ]
    if isinstance(value, float) and bounds["le"] is None:
        rules.append(("finite", math.isfinite(value)))
    return all(holds for _, holds in rules), " and ".join(words for words, _ in rules)


# Fields that several commands have with other defaults, so that they are spelled and explained alike.


def max_inflight(default: int | None, default_text: str | None = None) -> Any:
    """How many speculative calls may be in flight at once."""
    return setting(default, "How many speculative calls may be in flight at once.", ge=0, default_text=default_text)


def seed(help: str = "Seed of everything that is drawn at random.") -> Any:
    """A seed."""
    return setting(0, help, ge=0)


def jobs(default: int | None = None, default_text: str = "1") -> Any:
    """The number of processes that run episodes."""
    text = f"{default_text}; with --ray one for each CPU"
    return setting(default, "How many processes run episodes at the same time.", ge=1, default_text=text)


def speed(default: float) -> Any:
    """How fast the wall clock runs."""
    return setting(default, "With --clock wall: how many seconds of the experiment pass in one real second.", gt=0)


def check_learning(learning: int, tasks: int) -> None:
    """Check that not all tasks are learned from; ``InvalidConfiguration`` if no task is left to count."""
    if learning >= tasks:
        raise InvalidConfiguration(
            f"--learning must be below --tasks, so that a task is left to count; they are {learning} and {tasks}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpreadSettings(Settings):
    """Base of the settings of experiments whose episodes may run side by side, with the same results."""

    jobs: int | None = jobs()
    ray: str | None = setting(
        None,
        f"Run the episodes on a Ray cluster (needs the extra ray). ADDRESS: ray://HOST:PORT or HOST:PORT. With "
        f"{ANY_CLUSTER!r}, or without ADDRESS: the cluster that Ray finds, or else a new cluster on this machine.",
        default_text="processes of this machine",
        bare=ANY_CLUSTER,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ray is not None and self.ray != ANY_CLUSTER and ":" not in self.ray:
            raise InvalidConfiguration(
                f"ray must be an address, such as ray://head:10001, or {ANY_CLUSTER!r}, not {self.ray!r}"
            )

    @property
    def workers(self) -> Workers:
        """The workers that run the episodes."""
        return Workers(self.jobs, self.ray)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeculationSettings(Settings):
    """Base of the settings of every command with a ``SpeculativeWrapper``: the options that all of them have."""

    k: int = setting(3, "How many guesses are requested for each call.", ge=1)
    max_inflight: int | None = max_inflight(4)

    @property
    def limits(self) -> Limits:
        """The limits of the speculation; subclasses add their own."""
        return Limits() if self.max_inflight is None else Limits(max_inflight=self.max_inflight)

    @property
    def title(self) -> str:
        """``k`` and ``limits`` in words, for titles."""
        return f"k={self.k}, up to {self.limits.max_inflight} speculative calls in flight"


def selectivity(default: float) -> Any:
    """How sure speculation has to be."""
    return setting(
        default,
        "How sure speculation has to be: a call starts ahead of time if the odds that it is needed, times the share of "
        "the call that fits in before its response is needed, are at least this. 0: start everything.",
        ge=0,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DialSettings(Settings):
    """Base of the settings of experiments that show what speculation costs: the dial says how much it may cost."""

    selectivity: float = selectivity(0.1)
    money_per_s: float | None = setting(
        None,
        "In place of --selectivity: what a second of waiting is worth, in dollars. Recorded tokens are priced like "
        "those of gpt-5. 0: only calls that are certain to be needed start ahead of time.",
        ge=0,
        default_text="--selectivity",
    )
    token_ratio: float | None = setting(
        None,
        "In place of --selectivity: the wanted number of tokens, relative to the number without speculation; cancelled "
        "calls are charged in full.",
        ge=1,
        default_text="--selectivity",
    )
    give_up_below: float = setting(
        0.0,
        "Discard a started branch, with its finished calls, when its guesser lowers its probability below this value.",
        ge=0,
        le=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        (default,) = (field.default for field in dataclasses.fields(self) if field.name == "selectivity")
        for name in ("money_per_s", "token_ratio"):
            if getattr(self, name) is not None and self.selectivity != default:
                raise InvalidConfiguration(
                    f"--selectivity and --{name.replace('_', '-')} each say what speculation may cost; give one of them"
                )

    def kept(self) -> Estimates | None:
        """The estimates of handlers and guessers, if they are kept from one episode to the next; otherwise ``None``.

        A ratio is held over many episodes, and with a price nothing is started before it is known what calls cost; with
        a selectivity every episode begins with nothing known.
        """
        return None if (self.money_per_s, self.token_ratio) == (None, None) else Estimates()

    def dialled(self, limits: Limits) -> Limits:
        """``limits`` with the dial of these settings."""
        return dataclasses.replace(
            limits,
            selectivity=self.selectivity,
            money_per_s=self.money_per_s,
            token_ratio=self.token_ratio,
            give_up_below=self.give_up_below,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchSettings(SpeculationSettings, DialSettings):
    """Base of the settings of experiments with a ``SpeculativeWrapper``."""

    @property
    def limits(self) -> Limits:
        """The limits of the speculation; subclasses add their own."""
        return self.dialled(super().limits)

    @property
    def title(self) -> str:
        """``k``, ``limits`` and the dial in words, for titles."""
        dials = ("money_per_s", "token_ratio", "selectivity")
        dial = next(name for name in dials if getattr(self, name) is not None)
        return f"{super().title}, {dial}={getattr(self, dial):g}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClockSettings(BenchSettings, SpreadSettings):
    """Base of the settings of experiments that run on a virtual clock or on the wall clock."""

    clock: Clock = setting(
        "virtual", "virtual: waiting is simulated on one thread, and takes no real time. wall: threads really wait."
    )

    def check_jobs(self) -> None:
        """Check that episodes may run side by side.

        Raises:
            InvalidConfiguration: They measure the machine, or learn from one another.
        """
        if self.workers.is_one:
            return
        option, bare = self.workers.option, self.workers.option.split()[0]
        if self.clock == "wall":
            raise InvalidConfiguration(
                f"{option} runs episodes side by side, and on the wall clock they slow each other down: "
                f"leave out {bare}, or give --clock virtual"
            )
        if self.kept() is not None:
            raise InvalidConfiguration(
                f"{option} runs episodes side by side, and --money-per-s and --token-ratio learn from one "
                f"episode to the next: leave out {bare}, or give --selectivity"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaledSettings(ClockSettings):
    """Base of the settings of experiments whose wall clock may run faster than the experiment."""

    speed: float = speed(100.0)
    seed: int = seed()

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
    about, text = field.metadata, field.metadata["text"]
    required = field.default is dataclasses.MISSING
    return click.option(
        f"--{field.name.replace('_', '-')}",
        is_flag=about["flag"],
        type=None if about["flag"] else about["type"] or _type_of(hint, about),
        show_default=text is None and not required and not about["flag"],
        required=required,
        help=about["help"] if text is None else f"{about['help']}  [default: {text}]",
        # click takes any default, None as well, for a value that was given.
        **({} if required else {"default": typing.cast("Any", field.default)}),
        **({} if about["bare"] is None else {"flag_value": about["bare"], "metavar": "[ADDRESS]"}),
    )


def _type_of(hint: Any, bounds: Mapping[str, Any]) -> "click.ParamType[Any]":
    if choices := _choices_of(hint):
        return click.Choice(choices)
    least = bounds["ge"] if bounds["gt"] is None else bounds["gt"]
    match _without_none(hint):
        case builtin if builtin is int:
            return click.IntRange(least, bounds["le"])
        case builtin if builtin is float:
            return click.FloatRange(least, bounds["le"], min_open=bounds["gt"] is not None)
        case _:
            return click.STRING


def _without_none(hint: Any) -> Any:
    parts = typing.get_args(hint)
    return parts[0] if type(None) in parts else hint


def _choices_of(hint: Any) -> tuple[str, ...]:
    hint = _without_none(hint)
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


class Group(click.Group):
    """A group whose help shows what each command is for in a whole sentence, and not its first words."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(limit=1000)) for name, command in named if command is not None]
            )


class OutputFile(click.Path):
    """A file to write, or ``-``. A file that cannot be written is refused before the work begins."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if str(path) != "-" and not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}.", param, ctx)
        return path


def games(help: str) -> list[click.Parameter]:
    """The option ``--games``, which takes several files: click takes those after the first one as arguments."""
    return [
        click.Option(["--games"], type=FILE, multiple=True, required=True, metavar="FILE...", help=help),
        click.Argument(["more_games"], type=FILE, nargs=-1, metavar=""),
    ]


#: The option ``--sweep`` of experiments with a dial.
with_sweep = click.option(
    "--sweep",
    "swept",
    is_flag=True,
    help="Run at several selectivities, one after the other, and show the saving and the cost of each (JSON: sweep).",
)
#: The option ``--json`` of every experiment.
json_file = click.option(
    "--json",
    "json_file",
    type=OutputFile(),
    help="Write the results as JSON to this file (-: standard output), and print no table.",
)
