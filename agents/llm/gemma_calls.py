"""Tool calls as Gemma's models for tools write them: ``call:find{first:<escape>Ann<escape>,age:3}``."""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from spec_envs.agents.llm.messages import ToolRequest
from spec_envs.agents.llm.tagged_calls import Schemas, kinds_of, value_of
from spec_envs.json_files import DEEPEST

#: The marks that begin a call.
BEGIN = r"<start_function_call>|<\|tool_call>"
_CALL = re.compile(rf"\s*(?:{BEGIN})\s*call:\s*(?P<name>[\w.-]+)\s*(?=\{{)")
_OVER = re.compile(r"\s*(?:<end_function_call>|<tool_call\|>)")
#: The marks around a text.
_QUOTE = re.compile(r'\s*(<escape>|<\|"\|>)')
_KEY = re.compile(r"\s*([\w.$-]+)\s*:")
_BARE = re.compile(r"[^,{}\[\]<>]*")
#: The beginning of text that may be another call, or a result that the model has made up.
_MORE = re.compile(r"\s*(?:<(?:start_function_response|end_of_turn|eos)>\s*)*+(?:[<\[{]|\S*response:|call:)")
#: The schema of an argument without a schema.
_NONE: Mapping[str, Any] = MappingProxyType({})
_BLANKS = re.compile(r"\s*")


def gemma_calls(text: str, schemas: Schemas) -> list[ToolRequest]:
    """Return the calls in ``text``, which begins with the first one; none if one of them cannot be read."""
    calls: list[ToolRequest] = []
    place = 0
    while call := _CALL.match(text, place):
        try:
            properties = schemas.get(call["name"], {}).get("properties", {})
            arguments, place = _several(text, call.end(), properties=properties)
        except ValueError:
            return []
        calls.append(ToolRequest(call["name"], json.dumps(arguments, ensure_ascii=False)))
        if over := _OVER.match(text, place):
            place = over.end()
    return [] if _MORE.match(text, place) else calls


def _value(text: str, place: int, depth: int, kinds: set[str]) -> tuple[Any, int]:
    """Return the value of one of ``kinds`` at ``place``, and the place behind it; ``ValueError`` if there is none."""
    if depth > DEEPEST:
        raise ValueError("the arguments are nested too deeply")
    if quote := _QUOTE.match(text, place):
        end = text.index(quote[1], quote.end())
        return text[quote.end() : end], end + len(quote[1])
    place = _end(_BLANKS, text, place)
    if text.startswith(("{", "["), place):
        return _several(text, place, depth)
    end = _end(_BARE, text, place)
    bare = text[place:end].strip()
    if not bare or end == len(text):
        raise ValueError("a value is missing, or is cut")
    return value_of(bare, kinds), end


def _several(text: str, place: int, depth: int = 0, properties: Mapping[str, Any] = _NONE) -> tuple[Any, int]:
    """Return the list or the object at ``place``, and the place behind it."""
    is_list = text[place] == "["
    closing = "]" if is_list else "}"
    keys: list[str] = []
    values: list[Any] = []
    place += 1
    while not text.startswith(closing, place := _end(_BLANKS, text, place)):
        if values:
            if not text.startswith(",", place):
                raise ValueError("a comma is missing")
            place += 1
        if not is_list:
            key = _KEY.match(text, place)
            if key is None or key[1] in keys:
                raise ValueError("a name is missing, or is there twice")
            keys.append(key[1])
            place = key.end()
        value, place = _value(text, place, depth + 1, kinds_of(properties.get(keys[-1])) if keys else set())
        values.append(value)
    return (values if is_list else dict(zip(keys, values, strict=True))), place + 1


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    assert found is not None  # the pattern matches an empty text, too
    return found.end()
