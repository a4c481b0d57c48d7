"""The addresses of model servers: which one is meant, whether it can be one, and how it is shown."""

import os
import re
import urllib.parse
import urllib.request

from spec_envs.errors import InvalidConfiguration

#: The default server.
OPENAI = "https://api.openai.com/v1"
#: The environment variable with the address of the server to use instead of the default server.
VARIABLE = "OPENAI_BASE_URL"
#: A client of OpenAI's protocol adds this path to the address of a server.
_PATH = "/chat/completions"


def checked(name: str, url: object) -> str:
    """Return the address ``url``, which the user calls ``name``.

    Raises:
        InvalidConfiguration: ``url`` is not the address of a server, or is the address of its chat completions.
    """
    if not isinstance(url, str) or not _is_url(url):
        shown = public(url) if isinstance(url, str) else url
        raise InvalidConfiguration(f"{name} must be like http://localhost:8000/v1, not {shown!r:.200}")
    if urllib.parse.urlsplit(url).path.rstrip("/").endswith(_PATH):
        raise InvalidConfiguration(
            f"{name} must end before {_PATH}, which is added to it: {server_of(url)!r}, not {public(url)!r:.200}"
        )
    return url


def address_of(base_url: str | None) -> str:
    """Return the address of the server that ``base_url``, ``OPENAI_BASE_URL`` or else the default names.

    Raises:
        InvalidConfiguration: ``OPENAI_BASE_URL`` is no address.
    """
    if base_url is not None:
        return base_url
    other = os.environ.get(VARIABLE, "").strip()
    return checked(f"the environment variable {VARIABLE}", other) if other else OPENAI


def public(url: str) -> str:
    """Return ``url`` without its password and parameters, which may hold a key."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]


def server_of(url: str) -> str:
    """Return the address of the server whose chat completions are at ``url``, as ``public`` shows it."""
    return public(url).rstrip("/").removesuffix(_PATH)


def proxy_to(url: str) -> str | None:
    """Return the proxy through which the environment has ``url`` called, as ``public`` shows it, if there is one."""
    parts = urllib.parse.urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return public(proxy) if proxy and not urllib.request.proxy_bypass(parts.netloc) else None


def _is_url(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        return text == text.strip() and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or host
        return False
