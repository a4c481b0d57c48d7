"""What a site sends: compressed bodies, character sets, and the ways to lead a reader to another page.

Both backends read a page as this module decodes it, so they agree on it. Labels of character sets mean what the
Encoding Standard of the WHATWG says, and a page's own ``refresh`` what the HTML Standard says.
"""

import dataclasses
import html
import re
import urllib.parse
import zlib
from collections.abc import Iterator, Mapping

from spec_envs.errors import HandlerFailed

#: The labels of the character sets that each codec of Python decodes. The Windows codecs contain the sets of ISO.
_LABELS = """
utf-8: utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8
utf-16-le: utf-16 utf-16le unicode ucs-2 csunicode iso-10646-ucs-2 unicodefeff
utf-16-be: utf-16be unicodefffe
cp1252: windows-1252 ascii us-ascii ansi_x3.4-1968 iso-8859-1 iso8859-1 iso88591 iso_8859-1 latin1 l1 cp819 ibm819
cp1254: windows-1254 iso-8859-9 iso8859-9 iso88599 iso_8859-9 latin5 l5
cp874: windows-874 dos-874 tis-620 iso-8859-11 iso8859-11 iso885911
gb18030: gb18030 gb2312 gb_2312 gb_2312-80 gbk x-gbk chinese csgb2312 iso-ir-58
big5hkscs: big5 big5-hkscs cn-big5 csbig5 x-x-big5
cp932: shift_jis shift-jis sjis x-sjis ms_kanji ms932 windows-31j csshiftjis
euc_jp: euc-jp x-euc-jp
iso2022_jp: iso-2022-jp csiso2022jp
cp949: euc-kr cseuckr ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 korean windows-949 iso-ir-149
koi8_r: koi8-r koi koi8 koi8_r
koi8_u: koi8-u koi8-ru
cp866: ibm866 cp866 866
mac_roman: macintosh mac x-mac-roman
mac_cyrillic: x-mac-cyrillic x-mac-ukrainian
iso8859_2: latin2 l2
iso8859_5: cyrillic
iso8859_6: arabic
iso8859_7: greek greek8
iso8859_8: hebrew visual iso-8859-8-i logical
iso8859_15: latin9 l9
"""
_CODECS = {label: line.partition(":")[0] for line in _LABELS.split("\n") for label in line.partition(":")[2].split()}
_NUMBERED = re.compile(r"(?:iso[-_]?8859-?(?P<iso>\d+)|(?:windows-|x-cp|cp)(?P<windows>125\d))")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"))

#: Parts of a page in which markup is text, or does not count.
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style|textarea|title|template|xmp)\b.*?(?:</\1\b|\Z)", re.S | re.I)
_META = re.compile(r"<meta\b(?>\"[^\"]*\"|'[^']*'|[^<>\"']+){0,50}+>", re.I)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.I)
_XML = re.compile(r"<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([^\"'>]+)")
_ATTRIBUTE = re.compile(r"([^\s\"'<>/=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_REFRESH = re.compile(
    r"\s*(?=[\d.])(\d*)[\d.]*\s*(?:[;,]\s*|\s)(?:url\s*=\s*)?(?:\"([^\"]*)|'([^']*)|(.*))", re.S | re.I
)
#: The statuses that a page may have: 200, 203 (a proxy has changed the page), 404 (the page says: no such article).
_PAGES = (200, 203, 404)
#: The characters of an address that stay as they are.
_KEPT = "!#$%&'()*+,/:;=?@[]~"


class BrokenBody(Exception):
    """A body does not have the form that its encoding demands."""


class Inflater:
    """Uncompresses a body piece by piece. The pieces of a body of several gzip members are read as one.

    Args:
        encoding: The header ``Content-Encoding``, with several encodings in the order in which they were applied;
            raises ``HandlerFailed`` for an encoding that was not requested.
        most: How many bytes are of interest; uncompressing stops soon after them.
    """

    def __init__(self, encoding: str, most: int) -> None:
        names = [name for each in encoding.split(",") if (name := each.strip().lower()) not in ("", "identity", "none")]
        if len(names) > 2 or not set(names) <= {"gzip", "x-gzip", "deflate"}:
            raise HandlerFailed(f"answered in the encoding {encoding!r:.100}, which was not asked for")
        self._stages = [_Stage(name == "deflate") for name in reversed(names)]
        self._most = most
        self._num_read = self._num_written = 0

    def feed(self, chunk: bytes) -> bytes:
        """The next part of the body, uncompressed, at most one byte longer than is of interest; or ``BrokenBody``."""
        self._num_read += len(chunk)
        for stage in self._stages:
            chunk = stage.feed(chunk, self._most + 1 - self._num_written)
        self._num_written += len(chunk)
        return chunk

    @property
    def is_too_large(self) -> bool:
        """Whether the body has more than ``most`` bytes; compressed, it may be a little larger for its overhead."""
        return self._num_written > self._most or self._num_read > self._most + self._most // 100 + 4096

    def end(self) -> None:
        """Note that the body has ended; ``BrokenBody`` if a part of it is missing."""
        if not all(stage.is_complete for stage in self._stages):
            raise BrokenBody("sent an incomplete gzip stream")


class _Stage:
    """Undoes one encoding."""

    def __init__(self, is_deflate: bool) -> None:
        self._is_deflate = is_deflate
        self._inflate = None if is_deflate else zlib.decompressobj(wbits=31)
        self._ahead = b""  # bytes that are too few to tell what they begin
        self._has_ended = False
        self.is_complete = True

    def feed(self, data: bytes, most: int) -> bytes:
        data, self._ahead = self._ahead + data, b""
        out = bytearray()
        while data and not self._has_ended and len(out) < most:
            if self._inflate is None:
                data = self._begin(data)
            if self._inflate is None:
                break
            self.is_complete = False
            try:
                out += self._inflate.decompress(data, most - len(out))
            except zlib.error as error:
                raise BrokenBody(f"sent broken gzip: {error}") from error
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data, self._inflate, self.is_complete = self._inflate.unused_data, None, True
                self._has_ended = self._is_deflate
        if not self._has_ended and self._inflate is not None:
            self._ahead = data
        return bytes(out)

    def _begin(self, data: bytes) -> bytes:
        """Begin a stream with ``data``, and return the part of it that belongs to the stream."""
        if not self._is_deflate:
            data = data.lstrip(b"\0")  # padding between members
        if len(data) < 2:
            self._ahead = data
        elif self._is_deflate:  # with the header of zlib, as the standard says, or without
            has_header = data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
            self._inflate = zlib.decompressobj(wbits=15 if has_header else -15)
        elif data.startswith(b"\x1f\x8b"):
            self._inflate = zlib.decompressobj(wbits=31)
        else:
            self._has_ended = True  # what follows the last member is ignored, as by gzip
        return data


def decoded(body: bytes, content_type: str = "") -> str:
    """The text of an HTML page, without NUL.

    The first of these decides on the character set: a byte order mark, the header, the page's own declaration, UTF-8.
    Unknown labels are ignored.
    """
    for mark, codec in _BOMS:
        if body.startswith(mark):
            return _text(body.removeprefix(mark), codec)
    named = _CHARSET.search(content_type)
    found = _codec_of(named[1]) if named else None
    if found is None:
        found = next(filter(None, map(_codec_of, _declared(body))), "utf-8")
        if found.startswith("utf-16"):  # a declaration that could be read is not in UTF-16
            found = "utf-8"
    return _text(body, found)


def _declared(body: bytes) -> Iterator[str]:
    """The labels of character sets that a page declares, as browsers look for them: not in comments."""
    # More than the 1,024 bytes of the standard, and not all, since looking takes the square of the length.
    text = body[:8192].decode("latin-1")
    if xml := _XML.match(text):
        yield xml[1]
    for attributes in map(_attributes, _META.findall(_COMMENT.sub("", text))):
        if "charset" in attributes:
            yield attributes["charset"]
        elif attributes.get("http-equiv", "").strip().lower() == "content-type":
            yield from _CHARSET.findall(attributes.get("content", ""))[:1]


def _text(body: bytes, codec: str) -> str:
    # The C library of lxml would stop reading at a NUL, and browsers drop it.
    return body.decode(codec, "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _codec_of(label: str) -> str | None:
    """The codec for a label of a character set; ``None`` if the label is unknown."""
    label = label.strip().lower()
    numbered = _NUMBERED.fullmatch(label)
    if label in _CODECS or numbered is None:
        return _CODECS.get(label)
    if numbered["windows"]:
        return f"cp{numbered['windows']}" if numbered["windows"] != "1259" else None
    return (
        f"iso8859_{int(numbered['iso'])}" if int(numbered["iso"]) in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16) else None
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The response of a site to one request."""

    url: str  # the address that was requested
    status: int  # the HTTP status
    headers: Mapping[str, str]  # the headers, with names in lower case, and each byte of a value as one character
    body: bytes  # the body, uncompressed

    @property
    def location(self) -> str | None:
        """The target of a redirect, in ASCII; ``None`` if the answer is not a redirect."""
        location = self.headers.get("location")
        if self.status not in (301, 302, 303, 307, 308) or location is None:
            return None
        return self._absolute(location.encode("latin-1", "replace"))

    def refresh(self) -> str | None:
        """The page to which this HTML page leads at once by ``<meta http-equiv="refresh">``; ``None`` for none."""
        if self.status not in _PAGES or b"refresh" not in self.body.lower().replace(b"\0", b""):
            return None
        for attributes in map(_attributes, _META.findall(_HIDDEN.sub("", self.text()))):
            if attributes.get("http-equiv", "").strip().lower() == "refresh":
                found = _REFRESH.match(attributes.get("content", ""))
                target = "".join(part or "" for part in found.groups()[1:]).strip() if found else ""
                url = self._absolute(target.encode("utf-8", "replace")) if target else self.url
                return url if found and int(found[1] or 0) == 0 and url != self.url else None
        return None

    def check_page(self) -> None:
        """Raise ``HandlerFailed`` unless this is an HTML page, as the "no such article" page, with status 404, is."""
        if self.status not in _PAGES:
            raise HandlerFailed(f"{self.url} answered with status {self.status}")
        kind = re.split("[;,]", self.headers.get("content-type") or "text/html")[0].strip().lower()
        if kind not in ("text/html", "application/xhtml+xml"):
            raise HandlerFailed(f"{self.url} is {kind!r:.100}, not an HTML page")

    def text(self) -> str:
        """The body as text; see ``decoded``."""
        return decoded(self.body, self.headers.get("content-type", ""))

    def _absolute(self, target: bytes) -> str:
        """The address that ``target`` means on this page, without its fragment."""
        target = target.translate(None, b"\t\r\n")  # as browsers do
        path, mark, query = target.strip().partition(b"?")
        address = urllib.parse.quote_from_bytes(path.replace(b"\\", b"/") + mark + query, safe=_KEPT)
        try:
            return urllib.parse.urldefrag(urllib.parse.urljoin(self.url, address)).url
        except ValueError:  # not an address, so the client's check will refuse it
            return address


def _attributes(tag: str) -> dict[str, str]:
    """The attributes of a tag, by name in lower case; of several with one name the first counts."""
    found: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(tag):
        found.setdefault(name.lower(), html.unescape("".join(values)))
    return found


def without_refresh(text: str) -> str:
    """An HTML page that stays where it is: without the effect of ``<meta http-equiv="refresh">``."""
    return _META.sub(lambda meta: re.sub("refresh", "x-refresh", meta[0], flags=re.IGNORECASE), text)
