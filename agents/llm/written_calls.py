"""What open models' servers leave in the text of an answer: marks around what is said, and tool calls as text."""

import json
import re
from collections.abc import Collection
from typing import Any

from spec_envs.agents.llm.messages import ToolRequest
from spec_envs.json_files import parsed

#: Tags that stand around all of what is said.
_NAME = r"(?P<tag>(?:final[_ ]?)?(?:answer|response|reply|output)|message|final|solution)"
_TAGGED = re.compile(rf"<{_NAME}>(?P<said>.*?)(?:</(?P=tag)>(?P<more>.*))?", re.IGNORECASE | re.DOTALL)
#: An answer in tags that begin a line, behind text that is none.
_TAGGED_LAST = re.compile(r".*\n\s*(?P<said><(?P<tag>(?:final_?)?answer)>.*</(?P=tag)>)", re.IGNORECASE | re.DOTALL)
#: Three backquotes around all that is said.
_FENCED = re.compile(r"```(?:text|txt|plaintext|markdown|md)?[ \t]*\n(?P<said>(?:(?!```).)*)```", re.DOTALL)
_FENCES = re.compile(r"^[ \t]*```\w*[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
_OBJECT = re.compile(r"^[ \t]*[{\[]", re.MULTILINE)

_CALL = r"(?:tool|function)[_▁ ]?calls?"
_BAR = "[|｜]"
#: Marks that models write before a tool call: ``<tool_call>``, ``[TOOL_CALLS]``, ``<|python_tag|>`` and so on.
_MARK = re.compile(
    rf"<{_CALL}>|<{_BAR}{_CALL}(?:[_▁]section)?(?:[_▁]begin)?{_BAR}>|\[TOOL_CALLS\]|\[TOOL_REQUEST\]|<\|python_tag\|>|"
    rf"\bfunctools\[|<function\s*=|<invoke\s+name\s*=|<\|START_ACTION\|>|<\|(?:channel|start)\|>[^<>]*\bto=",
    re.IGNORECASE,
)
_OPENING = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder()


def unwrapped(text: str) -> str:
    """Return what an answer says, without tags or backquotes that stand around all of it."""
    text = text.strip()
    if last := _TAGGED_LAST.fullmatch(text):
        text = last["said"]
    while found := _TAGGED.fullmatch(text) or _FENCED.fullmatch(text):
        text = (found["said"] + (found.groupdict().get("more") or "")).strip()
    return text


def written_calls(text: str, known: Collection[str]) -> list[ToolRequest]:
    """Return the tool calls that ``text`` holds, which some servers do not take out of the text; none if it is said.

    They stand behind a mark of their own; or are JSON objects ``{"name": …, "arguments": {…}}`` as all of the text, or,
    of ``known`` tools, between backquotes, or from the start of a line to the end.

    Raises:
        ValueError: There is a mark, but something behind it cannot be read.
    """
    said = unwrapped(text)
    if mark := _MARK.search(said):
        calls = _behind(said[mark.start() :], known)
        if calls is None:
            raise ValueError(
                f"{said[mark.start() :][:200]!r} is no tool call that can be read; call a tool that there is, or write "
                f'the call as <tool_call>{{"name": "…", "arguments": {{…}}}}</tool_call>'
            )
        return calls
    for each in (said, *_FENCES.findall(said), *(said[found.start() :] for found in _OBJECT.finditer(said))):
        calls = _requests(parsed(each.strip()))
        is_call = each is said and re.search(r'"(?:arguments|parameters)"\s*:\s*\{', said)  # of no tool that there is
        if calls and (is_call or all(call.name in known for call in calls)):
            return calls
    return []


def _behind(text: str, known: Collection[str]) -> list[ToolRequest] | None:
    """Return the calls in ``text``, which begins with a mark: JSON objects, or arguments behind the name of a tool."""
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
        named = set(re.findall(r"[\w-]+", text[place : start.start()])).intersection(known)
        found = [ToolRequest(named.pop(), json.dumps(value))] if len(named) == 1 else _requests(value)
        if not found:
            return None
        calls += found
        place = looked = end
    return calls or None


def _requests(value: Any) -> list[ToolRequest]:
    """Return the tool calls that a JSON value is: one, or a list of them; none if it is anything else."""
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
    arguments = {} if arguments is None else arguments
    return [ToolRequest(name, arguments if isinstance(arguments, str) else json.dumps(arguments))]
