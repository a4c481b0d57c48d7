"""Spaces and values of Gymnasium as JSON, for programs that may not have Gymnasium installed.

``plain`` encodes any value as JSON data. It never fails, since it is called after a step, which cannot be undone.
``fitted`` decodes JSON data to a value of a space. ``schema_of`` describes a space as a JSON schema, with everything
that ``space_of`` needs to build an equal space.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from gymnasium import spaces

from spec_envs.brief import brief
from spec_envs.errors import InvalidConfiguration
from spec_envs.spaces import ActionText, AnyText, PlainText

#: The keyword of a JSON schema for the description of a space; programs that do not know the keyword ignore it.
KEYWORD = "gymnasium"


def plain(value: Any) -> Any:
    """``value`` as JSON data.

    Arrays, tuples and sets become lists, and dataclasses become objects. Numbers that JSON does not have become the
    texts "NaN", "Infinity" and "-Infinity", which ``fitted`` reads. Any other value becomes a short text.
    """
    try:
        return _plain(value)
    except Exception:  # methods of users' objects may raise errors, and a value may contain itself
        return brief(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")  # a message must not hold lone surrogates
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, np.ndarray | np.generic):
        listed = value.tolist()
        return listed if value.dtype.kind in "biu" else _plain(listed)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return brief(value)


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def fitted(space: spaces.Space[Any], data: Any) -> Any:
    """The value of ``space`` for JSON data; if there is none, the data themselves, which the caller then refuses."""
    if isinstance(space, spaces.Dict) and isinstance(data, Mapping):
        parts = space.spaces
        return {name: fitted(parts[name], item) if name in parts else item for name, item in data.items()}
    if isinstance(space, spaces.Tuple) and isinstance(data, list) and len(data) == len(space.spaces):
        return tuple(fitted(part, item) for part, item in zip(space.spaces, data, strict=True))
    if isinstance(space, spaces.Box | spaces.MultiBinary | spaces.MultiDiscrete):
        try:
            value = np.asarray(data, np.float64 if space.dtype.kind == "f" else None)
        except (TypeError, ValueError, OverflowError):
            return data
        whole = value.dtype.kind in "biu"
        return value.astype(space.dtype) if whole or space.dtype.kind == "f" else data
    return data


def schema_of(space: spaces.Space[Any]) -> dict[str, Any]:
    """A JSON schema of the values of ``space``, with the description that ``space_of`` reads.

    Raises:
        InvalidConfiguration: The values of the space, or of a space in it, have no fixed form in JSON.
    """
    match space:
        case spaces.Dict():
            parts = {name: schema_of(part) for name, part in space.spaces.items()}
            return _schema("Dict", {"type": "object", "properties": parts, "required": list(parts)})
        case spaces.Tuple():
            return _schema("Tuple", {"type": "array", "prefixItems": [schema_of(part) for part in space.spaces]})
        case spaces.Discrete():
            low, high = int(space.start), int(space.start + space.n - 1)
            return _schema("Discrete", {"type": "integer", "minimum": low, "maximum": high})
        case spaces.Box():
            limits = {"low": _limit(space.low), "high": _limit(space.high)}
            form = {"type": "array"} if space.shape else {"type": "number"}
            return _schema("Box", form, **limits, shape=list(space.shape), dtype=str(space.dtype))
        case spaces.MultiBinary():
            return _schema("MultiBinary", {"type": "array"}, n=plain(space.n))
        case spaces.MultiDiscrete():
            sizes = {"nvec": plain(space.nvec), "start": plain(space.start), "dtype": str(space.dtype)}
            return _schema("MultiDiscrete", {"type": "array"}, **sizes)
        case AnyText():
            return _schema("AnyText", {"type": ["string", "object"] if isinstance(space, ActionText) else "string"})
        case spaces.Text():
            lengths = {"minLength": space.min_length, "maxLength": space.max_length}
            return _schema("Text", {"type": "string"} | lengths, characters="".join(space.character_list))
    raise InvalidConfiguration(f"{space} has no form in JSON here: use Box, Discrete, Multi…, Text, Dict or Tuple")


def space_of(schema: Mapping[str, Any]) -> spaces.Space[Any]:
    """The space that ``schema_of`` described; ``InvalidConfiguration`` if the schema has no description of a space."""
    own = schema.get(KEYWORD, {})
    match own.get("space"):
        case "Dict":
            return spaces.Dict({name: space_of(part) for name, part in schema["properties"].items()})
        case "Tuple":
            return spaces.Tuple([space_of(part) for part in schema["prefixItems"]])
        case "Discrete":
            return spaces.Discrete(schema["maximum"] - schema["minimum"] + 1, start=schema["minimum"])
        case "Box":
            dtype, shape = np.dtype(own["dtype"]), tuple(own["shape"])
            read = np.float64 if dtype.kind == "f" else None  # reads "Infinity"; integers stay exact without it
            low, high = (np.broadcast_to(np.asarray(own[name], read), shape).astype(dtype) for name in ("low", "high"))
            return spaces.Box(low, high, shape, dtype.type)
        case "MultiBinary":
            return spaces.MultiBinary(own["n"])
        case "MultiDiscrete":
            return spaces.MultiDiscrete(own["nvec"], dtype=np.dtype(own["dtype"]).type, start=own["start"])
        case "AnyText":
            return AnyText()
        case "Text":
            return PlainText(schema["maxLength"], min_length=schema["minLength"], charset=own["characters"])
    raise InvalidConfiguration(f"there is no space in this schema, under the keyword {KEYWORD!r}: {schema!r:.200}")


def _schema(kind: str, form: dict[str, Any], **own: Any) -> dict[str, Any]:
    return {**form, KEYWORD: {"space": kind, **own}}


def _limit(values: Any) -> Any:
    """A single number if all values are equal, else all values."""
    return plain(values.flat[0]) if values.size and (values == values.flat[0]).all() else plain(values)
