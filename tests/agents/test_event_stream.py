"""Streams of events in every form that servers and proxies send, read as the same answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.agents.llm import ChatModel
from spec_envs.agents.llm.event_stream import Framing
from spec_envs.errors import HandlerFailed
from tests.agents.fixed_server import FixedServer, delta, serving
from tests.agents.scripted import asking

H, J, STOP = (json.dumps(each) for each in (delta(content="h"), delta(content="i"), delta("stop")))
WHOLE = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
EVENTS = [H, J, STOP]


def events(*data: str, before: str = "data: ", behind: str = "\n\n") -> str:
    return "".join(f"{before}{each}{behind}" for each in data)


READ = {
    "as OpenAI does": events(*EVENTS, "[DONE]"),
    "no empty line at the end": events(*EVENTS).rstrip("\n"),
    "no empty lines": events(*EVENTS, "[DONE]", behind="\n"),
    "no empty lines, and line ends of DOS": events(*EVENTS, behind="\r\n"),
    "line ends of old Macs": events(*EVENTS, behind="\r\r"),
    "blanks before": events(*EVENTS, before="  data: "),
    "a tab behind": events(*EVENTS, before="data:\t"),
    "capital letters": events(*EVENTS, before="DATA: "),
    "done, in small letters": events(*EVENTS, "[done]"),
    "done, between blanks": events(*EVENTS, "  [DONE]  "),
    "done, without brackets": events(*EVENTS, "DONE"),
    "events without data": events("", H, " ", J, STOP),
    "a field alone": "retry: 100\n\n" + events(*EVENTS) + "id: 7\n\n",
    "names of events": events(*EVENTS, before="event: thread.message.delta\ndata: "),
    "lines of JSON": events(*EVENTS, before="", behind="\n"),
    "a whole answer": json.dumps(WHOLE),
    "a whole answer on lines": json.dumps(WHOLE, indent=2),
    "a whole answer with a mark of byte order": "\ufeff" + json.dumps(WHOLE),
    "an event on several lines": "data: {\ndata: " + H[1:] + "\n\n" + events(J, STOP),
    "an event on several lines, without empty lines": "data: {\ndata: " + H[1:] + "\n" + events(J, STOP, behind="\n"),
    "comments and a page": ": ping\n\n<html>\n\n" + events(*EVENTS),
    "an event that is cut": events(*EVENTS) + 'data: {"choices": [{"del',
}
TYPES = [
    "text/event-stream",
    "Text/Event-Stream; charset=utf-8",
    "text/plain",
    "application/json",
    "application/x-ndjson",
]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FixedServer, ChatModel]]:
    """A server whose answer the tests set, and its model."""
    with serving(b"") as (server, url), ChatModel("m", base_url=url, max_retries=0) as model:
        yield server, model


@pytest.mark.parametrize("body", READ.values(), ids=READ)
def test_the_answer_is_read(served, body):
    server, model = served
    server.answers = [body.encode()]
    for server.content_type in TYPES if len(body) > 200 else TYPES[:1]:
        assert model(asking()).text == "hi"


TOLD = {
    "an error as text": (events(H) + "event: error\ndata: overloaded\n\n", "overloaded"),
    "an error as text, at the end": ("event: error\ndata: overloaded", "overloaded"),
    "an error as JSON": (events(H, '{"error": {"message": "overloaded"}}', STOP), "overloaded"),
    "a page": ("<html>Bad gateway</html>", "ended before it was complete"),
    "an answer that is cut": (events(H, J) + STOP[:20], "ended before it was complete"),
    "what is no JSON": (events(H, "{hi", STOP), "is no JSON: {hi"),
    "deep": (events("[" * 100_000), "Error"),
}


@pytest.mark.parametrize(("body", "message"), TOLD.values(), ids=TOLD)
def test_what_went_wrong_is_told(served, body, message):
    server, model = served
    server.answers, server.content_type = [body.encode()], TYPES[0]
    with pytest.raises(HandlerFailed, match=message):
        model(asking())


def framed(pieces: list[bytes]) -> list[Any]:
    """The events, as the client reads them."""
    framing = Framing()
    read = b"".join(map(framing.feed, pieces)) + framing.end()
    found = []
    for event in read.decode().split("\n\n")[:-1]:
        lines = event.split("\n")
        assert all(line.startswith("data: ") for line in lines)
        found.append("\n".join(line.removeprefix("data: ") for line in lines))
    return found


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(READ)), st.lists(st.integers(0, 500), max_size=8))
def test_however_the_bytes_arrive(name, cuts):
    body = READ[name].encode()
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[start:end] for start, end in zip(places, places[1:], strict=False)]
    assert framed(pieces) == framed([body])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.binary(max_size=6)
        | st.sampled_from([b"data:", b"data: ", b"{", b"}", b"\n", b"\r", b"\n\n", b"event: error\n", b"[DONE]"]),
        max_size=12,
    ).map(b"".join),
    st.integers(1, 7),
)
def test_any_bytes_are_events_or_nothing(body, width):
    framing = Framing()
    read = b"".join(framing.feed(body[start : start + width]) for start in range(0, len(body), width)) + framing.end()
    assert not read or (read.startswith(b"data: ") and read.endswith(b"\n\n"))
    whole = Framing()
    assert whole.feed(body) + whole.end() == read
