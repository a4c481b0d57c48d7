"""Why a model's server gave no answer, in words: what came instead, and what the user can do about it."""

from __future__ import annotations

import dataclasses
import datetime
import email.utils
import html
import http.client
import json
import re
import socket
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping

from spec_envs.agents.llm.addresses import proxy_to, server_of
from spec_envs.json_files import parsed

#: Shorter keys are placeholders, such as "x". They are removed from errors only where they are whole words.
_KEY_LENGTH = 8
#: The most characters of a server's text that are quoted.
_QUOTED = 300
#: How many bytes of a body are kept, so that an answer in an unknown form can be quoted.
_KEPT = 4096
#: The longest ``Retry-After`` that the client waits for, in seconds.
_LONGEST_PAUSE_S = 120
#: How servers say that a request is too long for the model, that an account is used up, and that a key is wrong.
_TOO_LONG = re.compile(r"context.?(?:length|window|size)|maximum context|too (?:long|large|many tokens)", re.IGNORECASE)
_USED_UP = re.compile(r"insufficient_quota|current quota|credit|billing|balance", re.IGNORECASE)
_NO_KEY = re.compile(r"api.?key", re.IGNORECASE)
_AGAIN = "retry(model, attempts=2) of spec_envs.wrappers.handlers asks again"
#: The beginning of an HTML page, and the parts of a page that are not text.
_PAGE = re.compile(r"<(?:!doctype|html|head|body|title|h1|center|pre)\b", re.IGNORECASE)
_MARKS = re.compile(r"<(script|style)\b.*?</\1>|<!--.*?-->|<[^>]*>?", re.DOTALL | re.IGNORECASE)
#: The names under which errors hold a message or a further error, and how deep a message is looked for.
_MESSAGES = ("error", "message", "detail", "msg", "error_description")
_LEVELS = 8
_OTHER_SERVER = "check that base_url is the address of a server of OpenAI's protocol; it usually ends in /v1"


@dataclasses.dataclass(slots=True)
class Exchange:
    """What was sent and received over HTTP for one call; its last request counts.

    Args:
        url: The address of the server.
        key: The key that is sent; it is removed from messages.
        key_variable: The environment variable of the key; ``has_key`` says whether this variable holds a key.
        timeout_s: An attempt fails when the server sends nothing for this time, in seconds.
    """

    url: str
    key: str
    key_variable: str
    has_key: bool
    timeout_s: float
    requests: int = 0
    status: int | None = None
    content_type: str = ""
    redirected: str | None = None  # where the server redirected to
    body: bytes = b""  # the first bytes of a streamed answer

    def sent(self) -> None:
        """Record that a request is sent."""
        self.requests += 1
        self.status, self.content_type, self.body = None, "", b""

    def replied(self, status: int, headers: Mapping[str, str], url: str) -> None:
        """Record the beginning of a response from ``url``."""
        self.status, self.content_type = status, headers.get("content-type", "")
        if "location" in headers and 300 <= status < 400:
            self.redirected = server_of(urllib.parse.urljoin(url, headers["location"]))

    def received(self, piece: bytes) -> None:
        """Record a piece of a streamed answer."""
        self.body += piece[: _KEPT - len(self.body)]

    def told_error(self, error: Exception) -> str:
        """Return what came and what to do, for a call that failed with ``error``."""
        status = getattr(error, "status_code", None)
        if status is not None:
            return self._told(*self._refused(error, status))
        came, advice = self._failed(error)
        if self.status is not None and self.status >= 300:  # the body of a refusal cannot be read
            return self._told(f"status {self.status}, and {came}", self._advice(self.status, "", 0.0))
        proxy = proxy_to(self.url)
        return self._told(
            f"{came}{f', through the proxy {proxy}, which the environment names' if proxy else ''}", advice
        )

    def told_incomplete(self, strange: object, characters: int) -> str:
        """Return what came and what to do, for an answer that broke off before its end.

        Args:
            strange: The first piece in an unknown form, if any.
            characters: The number of characters that have arrived.
        """
        came = "the answer ended before it was complete"
        if characters:
            return self._told(f"{came}, after {characters} character{'s' * (characters > 1)}", _AGAIN)
        if strange:
            text = self._quoted(repr(strange))
        else:
            text = self._quoted(self.body.decode(errors="replace"), is_cut=len(self.body) == _KEPT)
        kind = f"a body of the type {self.content_type!r}" if self.content_type else "a body without a type"
        what = f"is not in OpenAI's form: {kind}: {text}" if text else f"is empty: {kind}"
        return self._told(f"{came}; it {what}", _OTHER_SERVER)

    def _told(self, came: str, advice: str) -> str:
        """Return what came and what to do, without the key: ", after 3 requests: status 503; call again later"."""
        if self.redirected is not None:
            came = f"{came.rstrip('. ')}, after a redirection to {self.redirected}"
            advice = f"if that is the server, give this address as base_url{f'; or {advice}' if advice else ''}"
        asked = f", after {self.requests} requests" * (self.requests > 1)
        return without_key(f"{asked}: {came.rstrip('. ')}{'; ' * bool(advice)}{advice}", self.key)

    def _refused(self, error: Exception, status: int) -> tuple[str, str]:
        body = getattr(error, "body", None)
        said = self._quoted(said_in(body)) if body else ""
        name = http.client.responses.get(status)
        came = f"status {status}{f' ({name})' if name else ''}{': ' * bool(said)}{said}"
        header = _headers(error).get("retry-after")
        if header is not None:
            came += f"; Retry-After: {self._quoted(header)}"
        return came, self._advice(status, f"{said} {body!r}", _pause_s(header))

    def _advice(self, status: int, said: str, pause: float) -> str:
        if status in (401, 403) or (status == 400 and _NO_KEY.search(said)):
            key = f"the key in {self.key_variable}" if self.has_key else f"the key: {self.key_variable} holds none"
            return f"check {key}" + ", and what it may be used for" * (self.has_key and status == 403)
        if status == 402 or (status == 429 and _USED_UP.search(said)):
            return "the account is used up, so that waiting alone does not help"
        if status == 413 or (status in (400, 422) and _TOO_LONG.search(said)):
            return "shorten the messages and tools of the request"
        if status in (404, 405) or status < 400:
            is_versioned = re.search(r"/v\d", urllib.parse.urlsplit(self.url).path)
            return "check the name of the model, and base_url" + ", which usually ends in /v1" * (not is_versioned)
        if status == 407:
            return "the proxy wants a user and a password"
        if status in (400, 422):
            return "change the request, or options= of ChatModel"
        if pause > _LONGEST_PAUSE_S:
            return f"the client waits for at most {_LONGEST_PAUSE_S} s, so call again later"
        if status == 429:
            return "make fewer calls at once (Limits(per_handler=…), rate_limited), or raise max_retries"
        return "see the server's log, call again later, or raise max_retries"

    def _failed(self, error: Exception) -> tuple[str, str]:
        host = urllib.parse.urlsplit(self.redirected or self.url).hostname
        chain = [*_causes(error)]
        for each in chain:
            match each:
                case ConnectionRefusedError():
                    return f"the connection was refused ({each})", "start the server, or check base_url"
                case socket.gaierror():
                    return f"the host {host!r} is unknown ({each})", "check base_url, and the network"
                case ssl.SSLCertVerificationError():
                    return f"its certificate is not trusted ({each})", "name its authority in SSL_CERT_FILE"
                case ssl.SSLError() if not isinstance(each, ssl.SSLWantReadError):
                    return f"TLS failed ({each})", "the address of a server without TLS begins with http://"
                case json.JSONDecodeError():
                    return f"an event of the stream is no JSON: {self._quoted(each.doc)}", _OTHER_SERVER
        names = [type(each).__name__ for each in chain]
        if any("Timeout" in name for name in names):
            what = "no connection" if "ConnectTimeout" in names else "the server sent nothing"
            return f"it timed out: {what} for {self.timeout_s:g} s", "check the server, or raise timeout_s"
        if body := getattr(error, "body", None):
            return f"the server reports an error: {self._quoted(said_in(body))}", _AGAIN
        text = self._quoted(next(filter(None, map(str, chain[1:])), "") or str(error))
        if "DecodingError" in names:
            return f"the body cannot be decoded: {text}", f"check the server and base_url; {_AGAIN}"
        if any("ProtocolError" in name for name in names) or any(isinstance(each, OSError) for each in chain):
            return f"the connection broke off: {text}", f"check the server and base_url; {_AGAIN}"
        return (text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"), ""

    def _quoted(self, text: str, *, is_cut: bool = False) -> str:
        """Return a text of the server, which may hold the key, as a part of a line."""
        return one_line(without_key(text, self.key, is_cut=is_cut))


def without_key(text: str, key: str, *, is_cut: bool = False) -> str:
    """Return ``text`` without ``key``; the end of a text that ``is_cut`` may hold the beginning of the key."""
    if len(key) < _KEY_LENGTH:
        return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", "[key]", text)
    text = text.replace(key, "[key]")
    part = next((n for n in range(len(key) - 1, 3, -1) if is_cut and text.endswith(key[:n])), 0)
    return text[: len(text) - part]


def one_line(text: str) -> str:
    """Return a server's text on one line, without the marks of a page, and not too long."""
    text = text[:_KEPT]
    if _PAGE.search(text):
        text = html.unescape(_MARKS.sub(" ", text))
    words = " ".join(text.split())
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in words[:_QUOTED])
    return f"{shown}…" if len(words) > _QUOTED else shown


def said_in(body: object) -> str:
    """Return the message in the body of an error, which servers write in many forms."""
    for _ in range(_LEVELS):
        found: object = parsed(body) if isinstance(body, str) else body[0] if isinstance(body, list) and body else None
        if isinstance(body, Mapping):
            found = next((body[name] for name in _MESSAGES if isinstance(body.get(name), str | Mapping)), None)
        if not found or not isinstance(found, str | Mapping | list):
            break
        body = found
    return body if isinstance(body, str) else json.dumps(body, default=str, ensure_ascii=False)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what caused it, the nearest cause first."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting and len(seen) < 50:
        each = waiting.pop()
        if each in seen:
            continue
        seen.append(each)
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions[:1]
        waiting += [cause for cause in (each.__cause__ or each.__context__,) if cause is not None]


def _headers(error: Exception) -> Mapping[str, str]:
    return getattr(getattr(error, "response", None), "headers", {})


def _pause_s(header: str | None) -> float:
    """Return the pause in a header ``Retry-After``, in seconds; 0 if there is none."""
    try:
        return float(header or 0)
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(header or "")
        return (when - datetime.datetime.now(datetime.UTC)).total_seconds()
    except (TypeError, ValueError):  # no date, or one without a time zone
        return 0.0
