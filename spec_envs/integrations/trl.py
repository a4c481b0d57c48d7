"""The environments for TRL: classes for ``GRPOTrainer(environment_factory=...)``.

The methods of each class are the tools of its environment, whose docstrings TRL shows to the model; ``reset``, which
takes a row of the data set and returns the first text for the model; and ``get_reward``. TRL itself is not imported.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.tool_episodes import (
    CHESS,
    RETAIL,
    SEARCH,
    TUNING,
    Domain,
    ToolEpisode,
    Wrap,
    retail_for,
)

__all__ = ["ChessTools", "RetailTools", "SearchTools", "Tau3RetailTools", "TuningTools"]

ToolsType = TypeVar("ToolsType", bound="_Tools")

_TYPES: dict[str, Any] = {"string": str, "object": dict, "integer": int, "number": float, "boolean": bool}


class _Tools:
    """The base of the classes. TRL regards every public method as a tool, except ``reset`` and ``get_reward``.

    Args:
        wrap: Adds wrappers to the environment, such as ``SpeculativeWrapper`` with guessers.
        **options: Options of the environment.
    """

    _domain: Domain

    def __init__(self, wrap: Wrap | None = None, **options: Any) -> None:
        self._episode = ToolEpisode(self._domain, wrap, **options)

    def reset(self, **row: Any) -> str:
        """Begin the episode of a row of the data set; returns the first text for the model.

        Rollouts that are compared with each other must play the same episode. So give each row a ``seed``, or choose
        the episode by a column ``question``, ``task``, ``fen`` or ``start``. Other columns are ignored.
        """
        return self._episode.begin(row)

    def get_reward(self) -> float:
        """The sum of the rewards of the episode so far."""
        return self._episode.reward


def _with_tools(kind: type[ToolsType]) -> type[ToolsType]:
    """Give a class a method for each tool of its domain."""
    for schema in kind._domain.schemas:
        method = _method(schema["function"])
        method.__qualname__ = f"{kind.__name__}.{method.__name__}"
        setattr(kind, method.__name__, method)
    return kind


def _method(function: Mapping[str, Any]) -> Callable[..., str]:
    name, properties = function["name"], function["parameters"]["properties"]
    required = set(function["parameters"].get("required", properties))

    def tool(self: _Tools, *args: Any, **named: Any) -> str:
        bound = signature.bind(self, *args, **named)
        return self._episode.call(name, {each: bound.arguments[each] for each in properties if each in bound.arguments})

    kinds = {each: _type_of(form) for each, form in properties.items()}
    parameters = [
        inspect.Parameter(
            each,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if each in required else None,
            annotation=kinds[each],
        )
        for each in sorted(properties, key=lambda each: each not in required)
    ]
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([itself, *parameters], return_annotation=str)
    tool.__name__, tool.__annotations__ = name, {**kinds, "return": str}
    tool.__doc__ = _docstring(function["description"], properties)
    tool.__signature__ = signature  # type: ignore[attr-defined]
    return tool


def _type_of(form: Mapping[str, Any]) -> Any:
    if "enum" in form:
        return Literal[tuple(form["enum"])]
    if form["type"] == "array":
        return list[_type_of(form["items"])]  # type: ignore[misc]
    return _TYPES[form["type"]]


def _docstring(description: str, properties: Mapping[str, Any]) -> str:
    """A docstring in Google's style, as ``transformers`` reads it."""
    lines = [f"    {name}: {form['description']}" for name, form in properties.items()]
    arguments = ["Args:", *lines, ""] if lines else []
    return "\n".join([description, "", *arguments, "Returns:", "    What the model is told."])


def _check_data(data: str | os.PathLike[str], domain: Domain, other: str) -> None:
    if retail_for(data) is not domain:
        raise InvalidConfiguration(f"the tools for the data {os.fspath(data)!r} are those of {other}")


@_with_tools
class SearchTools(_Tools):
    """``SpecSearch-v0`` with the tools ``search``, ``lookup`` and ``finish``. A row may have a ``question``."""

    _domain = SEARCH


@_with_tools
class RetailTools(_Tools):
    """``SpecRetail-v0`` with tau-bench's tools and ``respond``. A row may have a ``task``.

    Raises:
        InvalidConfiguration: The option ``data`` names data of τ³-bench, or no retail data.
    """

    _domain = RETAIL["tau-bench"]

    def __init__(self, wrap: Wrap | None = None, **options: Any) -> None:
        _check_data(options.get("data", "embedded"), self._domain, "Tau3RetailTools")
        super().__init__(wrap, **options)


@_with_tools
class Tau3RetailTools(_Tools):
    """``SpecRetail-v0`` with τ³-bench's tools and ``respond``. A row may have a ``task``, given by its id.

    Args:
        data: τ³-bench's ``db.json``, or its folder.
        wrap: Adds wrappers to the environment.
        **options: Other options of the environment.

    Raises:
        InvalidConfiguration: ``data`` names data of tau-bench, or no retail data.
    """

    _domain = RETAIL["tau3"]

    def __init__(self, data: str | os.PathLike[str], wrap: Wrap | None = None, **options: Any) -> None:
        _check_data(data, self._domain, "RetailTools")
        super().__init__(wrap, data=data, **options)


@_with_tools
class ChessTools(_Tools):
    """``SpecChess-v0`` with the tool ``move``. A row may have a ``fen``, ``pgn`` or ``opening``, and a ``color``."""

    _domain = CHESS


@_with_tools
class TuningTools(_Tools):
    """``SpecTuning-v0`` with the tool ``measure``. A row may have a ``start``."""

    _domain = TUNING
