"""Tool calls with each argument as text in a tag of its own; the tool's schema says how to read the text.

Models write ``<function=find><parameter=first>Ann</parameter></function>`` (Qwen),
``<tool_call>find<arg_key>first</arg_key><arg_value>Ann</arg_value></tool_call>`` (GLM), or
``<invoke name="find"><parameter name="first">Ann</parameter></invoke>`` (MiniMax, DeepSeek, Step and others).
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from spec_envs.agents.llm.messages import ToolRequest

#: JSON schemas of arguments, by the name of the tool.
Schemas = Mapping[str, Mapping[str, Any]]

#: A prefix that some models write before the name of a tag: ``minimax:``, ``｜DSML｜`` and so on.
PREFIX = r"(?:\w+:|[|｜]\w+[|｜])?"
#: The name of a tag around calls.
CALL = r"(?:\w+_)?(?:tool|function)[_▁ ]?calls?"
_NAMED = r"(?:\s*=\s*|\s+name\s*=\s*)[\"']?(?P<name>[^<>\"'\s=]+)[\"']?"
_BEGIN = re.compile(
    rf"<{PREFIX}(?:function|invoke){_NAMED}\s*>|<{PREFIX}{CALL}>\s*(?P<bare>[\w.-]+)\s*(?=<arg_key>|</)", re.IGNORECASE
)
_OVER = rf"</{PREFIX}(?:function|invoke|{CALL})>"
_END = re.compile(rf"\s*{_OVER}(?:\s|</[^<>]*>|<[|｜][^<>]*>)*", re.IGNORECASE)
#: Text before a call that makes the call unreadable: a call in another form, or a result that the model has made up.
_OTHER = re.compile(r"[{}\[\]]|<[\w:]*(?:response|result|output)", re.IGNORECASE)
#: Some models leave out the tag that closes an argument.
_ARGUMENT = re.compile(
    rf"\s*<{PREFIX}parameter{_NAMED}(?:\s+string=[\"']?(?P<is_text>\w+)[\"']?)?\s*>(?P<value>.*?)"
    rf"(?:</{PREFIX}parameter>|(?=<{PREFIX}parameter[\s=])|(?={_OVER}))|"
    r"\s*<arg_key>(?P<key>.*?)</arg_key>\s*<arg_value>(?P<written>.*?)</arg_value>",
    re.IGNORECASE | re.DOTALL,
)


def tagged_calls(text: str, schemas: Schemas) -> list[ToolRequest] | None:
    """Return the calls in ``text``, which begins with the first call; ``None`` if the first call has another form.

    The list is empty if the text behind the first call cannot be read. Words behind the last call are ignored; tags
    and brackets are not, since they may be calls in another form.
    """
    calls: list[ToolRequest] = []
    place = 0
    while begin := _BEGIN.search(text, place):
        if _OTHER.search(text, place, begin.start()):
            return [] if calls else None
        name = (begin["name"] or begin["bare"]).removeprefix("functions.")
        schema = schemas.get(name, {})
        arguments, end = _arguments(text, begin.end(), schema)
        over = _END.match(text, end)
        if over is None or (begin["bare"] and (name not in schemas or (schema.get("required") and not arguments))):
            return [] if calls else None
        calls.append(ToolRequest(name, json.dumps(arguments, ensure_ascii=False)))
        place = over.end()
    if not calls:
        return None
    return [] if text.startswith(("<", "[", "{"), place) else calls


def _arguments(text: str, place: int, schema: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the arguments from ``place`` on, and the place behind them."""
    arguments: dict[str, Any] = {}
    properties = schema.get("properties", {})
    while found := _ARGUMENT.match(text, place):
        name = (found["name"] or found["key"]).strip()
        value = found["value"] if found["name"] else found["written"]
        value = value.removeprefix("\n").removesuffix("\n")
        kinds = kinds_of(properties.get(name))
        if found["is_text"]:  # the model says so itself
            kinds = {"string"} if found["is_text"].lower() == "true" else {"object"}
        arguments[name] = value_of(value, kinds)
        place = found.end()
    return arguments, place


def _kinds(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    kind = schema.get("type")
    yield from [kind] if isinstance(kind, str) else kind or ()
    for each in ("anyOf", "oneOf", "allOf"):
        for inner in schema.get(each) or ():
            yield from _kinds(inner)
    if kind is None and any(isinstance(value, str) for value in schema.get("enum") or ()):
        yield "string"


def kinds_of(schema: Any) -> set[str]:
    """Return the types that a value with ``schema`` may have, as JSON schemas name them; empty if any is possible."""
    return set(_kinds(schema))


def value_of(text: str, kinds: set[str]) -> Any:
    """Return the value of an argument: ``text`` itself if a string is allowed, or if it is no other value."""
    bare = text.strip()
    if "string" in kinds:
        return None if "null" in kinds and bare.lower() in ("null", "none") else text
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(bare)
        is_whole = isinstance(value, float) and value.is_integer() and "integer" in kinds
        return int(value) if is_whole else value
    if bare in ("True", "False", "None"):
        return {"True": True, "False": False}.get(bare)
    return text
