"""Tool calls, and marks around the message, that servers of open models leave in the text of an answer."""

import json
import re
from typing import Any

from spec_envs.agents.llm.gemma_calls import BEGIN, gemma_calls
from spec_envs.agents.llm.messages import ToolRequest
from spec_envs.agents.llm.python_calls import python_calls
from spec_envs.agents.llm.tagged_calls import CALL, PREFIX, Schemas, tagged_calls
from spec_envs.json_files import parsed

#: Tags around the whole message.
_NAME = r"(?P<tag>(?:final[_ ]?)?(?:answer|response|reply|output)|message|final|solution)"
_TAGGED = re.compile(rf"<{_NAME}>(?P<said>.*?)(?:</(?P=tag)>(?P<more>.*))?", re.IGNORECASE | re.DOTALL)
#: An answer in tags at the beginning of a line, after other text.
_TAGGED_LAST = re.compile(
    r".*\n[^\S\n]*(?P<said><(?P<tag>(?:final_?)?answer)>.*</(?P=tag)>)", re.IGNORECASE | re.DOTALL
)
#: Three backquotes around the whole message.
_FENCED = re.compile(r"```(?:text|txt|plaintext|markdown|md)?[ \t]*\n(?P<said>(?:(?!```).)*)```", re.DOTALL)
_FENCES = re.compile(r"^[ \t]*```\w*[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
_OBJECT = re.compile(r"^[ \t]*[{\[]", re.MULTILINE)

#: How many pairs of tags or backquotes are taken from around a message. A model that runs away may write thousands.
_MOST_AROUND = 10

_BAR = "[|｜]"
#: Marks that models write before a tool call: ``<tool_call>``, ``[TOOL_CALLS]``, ``<|python_tag|>`` and so on.
_MARK = re.compile(
    rf"<{PREFIX}{CALL}>|<{_BAR}{CALL}(?:[_▁](?:section|begin|start))*{_BAR}>|\[TOOL_CALLS\]|\[TOOL_REQUEST\]|"
    rf"<\|(?:python_tag|python_start|start_action|action_start)\|>|{BEGIN}|\bfunctools\[|"
    rf"<{PREFIX}function\s*=|<{PREFIX}(?:function|invoke)\s+name\s*=|<\|(?:channel|start)\|>[^<>]*\bto=",
    re.IGNORECASE,
)
_AROUND = re.compile(r"\A(?:<[^<>]*>|\[TOOL_\w+\]|\s)*|(?:</[^<>]*>|<[|｜][^<>]*>|\[/?[A-Z_]+\]|\s)*\Z")
_OPENING = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder()


def unwrapped(text: str) -> str:
    """Return the message in an answer, without tags or backquotes around the whole message."""
    text = text.strip()
    if text.endswith(">") and (last := _TAGGED_LAST.fullmatch(text)):  # asked first: it is quick
        text = last["said"]
    for _ in range(_MOST_AROUND):
        found = _TAGGED.fullmatch(text) or _FENCED.fullmatch(text)
        if found is None:
            break
        text = (found["said"] + (found.groupdict().get("more") or "")).strip()
    return text


def written_calls(text: str, schemas: Schemas) -> list[ToolRequest]:
    """Return the tool calls that a server has left in the ``text`` of an answer; none if the text is a message.

    A tool call follows a mark of tool calls. Or it is a JSON object ``{"name": …, "arguments": {…}}``: the whole text,
    or, for tools with ``schemas``, a text between backquotes, or from the start of a line to the end of the text. Or it
    is a call in Python of such a tool: the whole text, or a text between backquotes.

    Raises:
        ValueError: There is a mark, but the text after the mark cannot be read.
    """
    said = unwrapped(text)
    if mark := _MARK.search(said):
        calls = _behind(said[mark.start() :], schemas)
        if not calls:
            raise ValueError(
                f"{said[mark.start() :][:200]!r} is no tool call that can be read; call a tool that there is, or write "
                f'the call as <tool_call>{{"name": "…", "arguments": {{…}}}}</tool_call>'
            )
        return calls
    for each in (said, *_FENCES.findall(said), *(said[found.start() :] for found in _OBJECT.finditer(said))):
        calls = _requests(parsed(each.strip()))
        is_call = each is said and re.search(r'"(?:arguments|parameters)"\s*:\s*\{', said)  # also of an unknown tool
        if calls and (is_call or all(call.name in schemas for call in calls)):
            return calls
    for each in (said, *_FENCES.findall(said)):
        if calls := python_calls(each, schemas):
            return calls
    return []


def _behind(text: str, schemas: Schemas) -> list[ToolRequest]:
    """Return the calls in ``text``, which begins with a mark; none if they cannot be read."""
    calls = tagged_calls(text, schemas)
    if calls is not None:
        return calls
    if re.match(BEGIN, text):
        return gemma_calls(text, schemas)
    return _json_calls(text, schemas) or python_calls(_AROUND.sub("", text), schemas)


def _json_calls(text: str, schemas: Schemas) -> list[ToolRequest] | None:
    """Return the calls that are JSON objects, or arguments behind the name of a tool."""
    calls: list[ToolRequest] = []
    place = looked = 0
    while start := _OPENING.search(text, looked):
        try:
            value, end = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            if start[0] == "{":
                return None
            looked = start.end()  # a mark in brackets
            continue
        named = set(re.findall(r"[\w-]+", text[place : start.start()])).intersection(schemas)
        if len(named) == 1 and isinstance(value, dict):
            found = [ToolRequest(named.pop(), text[start.start() : end])]
        else:
            found = _requests(value)
        if not found:
            return None
        calls += found
        place = looked = end
    return calls or None


def _requests(value: Any) -> list[ToolRequest]:
    """Return the tool calls in a JSON value: a tool call, or a list of them; empty for any other value."""
    if isinstance(value, list):
        calls = [_requests(each) for each in value if isinstance(each, dict)]
        return [call for each in calls for call in each] if all(calls) and len(calls) == len(value) else []
    if not isinstance(value, dict):
        return []
    inner = value.get("function")
    value = inner if isinstance(inner, dict) else value
    name = value.get("name") or value.get("tool_name")
    arguments = value.get("arguments", value.get("parameters"))
    if not isinstance(name, str) or not isinstance(arguments, dict | str | None):
        return []
    try:
        return [ToolRequest(name, arguments if isinstance(arguments, str) else json.dumps(arguments or {}))]
    except RecursionError:
        return []
