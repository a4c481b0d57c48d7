"""Knobs: what a tuner may set, within which bounds, and on which grid."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any, Literal

from spec_envs.errors import InvalidAction, InvalidConfiguration

Value = float | int | str
#: A value for every knob, in the order of the knobs: names and values.
Setting = tuple[tuple[str, Value], ...]

#: Points of a grid, unless a knob says otherwise: three decades with 20 points each, as the series R20 has them.
_STEPS = 61


@dataclasses.dataclass(frozen=True, slots=True)
class Knob:
    """One thing that can be set. Every value lies on the knob's own grid, so two settings are equal or they are not.

    Args:
        name: As in actions and observations.
        kind: "float", "int" or "choice".
        low: The least value; numbers only, whole ones for an "int".
        high: The greatest value; see ``low``.
        log: Whether the grid is even on a logarithmic scale. Its points, except the ends, then have two significant
            digits if they are floats.
        default: Where an episode starts; ``None`` for the middle of the grid. It is moved to the nearest point.
        steps: How many points the grid has, at most: points that round to the same value count once.
        choices: The values of a "choice", in an order that makes sense.
        unit: For people and language models.
        apply: Sets the value on a live system; for backends that leave this to the knob, as ``LiveBackend`` does.
        read: The value that the live system has now. What was applied is read back and compared.

    Raises:
        InvalidConfiguration: The bounds, the default or the choices make no sense.
    """

    name: str
    kind: Literal["float", "int", "choice"] = "float"
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    default: Value | None = None
    steps: int = _STEPS
    choices: tuple[str, ...] = ()
    unit: str = ""
    apply: Callable[[Any], None] | None = dataclasses.field(default=None, compare=False, repr=False)
    read: Callable[[], Any] | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))  # a list cannot be part of a query
        if self.kind == "choice":
            self._check_choices()
        else:
            self._check_scale()
        try:
            start = self.grid[len(self.grid) // 2] if self.default is None else self.snap(self.default)
        except InvalidAction as error:
            raise InvalidConfiguration(f"the default does not fit: {error}") from None
        object.__setattr__(self, "default", start)

    @property
    def start(self) -> Value:
        """The default, which lies on the grid."""
        assert self.default is not None
        return self.default

    @property
    def grid(self) -> tuple[Value, ...]:
        """All values that the knob can have, ascending, or in the order of the choices."""
        if self.kind == "choice":
            return self.choices
        return _grid(self.kind, self.low, self.high, self.log, self.steps)

    def snap(self, value: object) -> Value:
        """The point of the grid that is nearest to ``value`` on the knob's scale.

        Raises:
            InvalidAction: It is no number between ``low`` and ``high``, or none of the choices.
        """
        if self.kind == "choice":
            if isinstance(value, str) and value in self.choices:
                return str(value)
            raise InvalidAction(f"{self.name} is one of {', '.join(self.choices)}, not {value!r}")
        number = finite(value)
        if number is None or not self.low <= number <= self.high:
            bounds = f"from {self.low:g} to {self.high:g} {self.unit}".rstrip()
            raise InvalidAction(f"{self.name} is a number {bounds}, not {value!r}")
        grid = _grid(self.kind, self.low, self.high, self.log, self.steps)
        return min(grid, key=lambda point: abs(self._scaled(point) - self._scaled(number)))

    def encode(self, value: Value) -> float:
        """``value``, a point of the grid, as a coordinate from -1 (first point) to 1 (last point)."""
        return 2.0 * self.grid.index(value) / (len(self.grid) - 1) - 1.0

    def decode(self, coordinate: float) -> Value:
        """The point of the grid that is nearest to a coordinate from -1 to 1.

        Raises:
            InvalidAction: The coordinate lies outside.
        """
        if not -1.0 <= coordinate <= 1.0:
            raise InvalidAction(f"the coordinate of {self.name} lies between -1 and 1, and {coordinate!r} does not")
        grid = self.grid
        return grid[round((coordinate + 1.0) / 2.0 * (len(grid) - 1))]

    def _check_choices(self) -> None:
        different = len(set(self.choices)) == len(self.choices)
        if not different or len(self.choices) < 2 or not all(isinstance(choice, str) for choice in self.choices):
            raise InvalidConfiguration(
                f"{self.name} needs two choices or more, all different, as text, not {self.choices!r}"
            )

    def _check_scale(self) -> None:
        low, high = finite(self.low), finite(self.high)
        if self.kind not in ("float", "int"):
            raise InvalidConfiguration(f"{self.name}: kind must be 'float', 'int' or 'choice', not {self.kind!r}")
        if low is None or high is None or not low < high:
            raise InvalidConfiguration(f"{self.name}: low must lie below high, not {self.low!r} and {self.high!r}")
        if self.kind == "int" and not (low.is_integer() and high.is_integer()):
            raise InvalidConfiguration(f"{self.name}: an 'int' has whole bounds, not {self.low!r} and {self.high!r}")
        if self.log and low <= 0:
            raise InvalidConfiguration(f"{self.name}: a logarithmic scale begins above 0, not at {self.low!r}")
        if not isinstance(self.steps, int) or self.steps < 2:
            raise InvalidConfiguration(f"{self.name}: steps must be an integer of at least 2, not {self.steps!r}")

    def _scaled(self, number: float) -> float:
        return math.log(number) if self.log else number


def setting_of(knobs: Iterable[Knob], values: dict[str, Value]) -> Setting:
    """``values``, one for each knob, in the order of the knobs."""
    return tuple((knob.name, values[knob.name]) for knob in knobs)


def finite(value: object) -> float | None:
    """``value`` as a float; ``None`` if it is no number, not finite, or too large for one."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer may be as long as a language model likes
        return None
    return number if math.isfinite(number) else None


@functools.lru_cache(maxsize=1024)
def _grid(kind: str, low: float, high: float, log: bool, steps: int) -> tuple[float, ...]:
    shares = [step / (steps - 1) for step in range(1, steps - 1)]
    between = [low * (high / low) ** share if log else low + (high - low) * share for share in shares]
    if kind == "int":
        rounded: Iterable[float] = (round(point) for point in (low, *between, high))
    else:
        digits = 1 if log else 9  # behind the first
        rounded = (float(low), *(float(f"{point:.{digits}e}") for point in between), float(high))
    return tuple(sorted({point for point in rounded if low <= point <= high}))
