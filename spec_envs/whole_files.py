"""Writing a file so that nobody ever reads half of it: a crash leaves the file as it was before."""

import contextlib
import os
import uuid
from pathlib import Path


def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """Put a new file with ``text`` in the place of ``path``, whose folder is made if it is missing.

    Args:
        path: The file.
        text: What the file holds then, in UTF-8; lone surrogates are kept.
        private: Whether only the user may read the file.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")  # other processes may write the same file
    mode = 0o600 if private else 0o666
    try:
        with open(
            beside,
            "x",
            encoding="utf-8",
            errors="surrogatepass",
            opener=lambda name, flags: os.open(name, flags, mode),
        ) as file:
            file.write(text)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def read_whole(path: Path) -> str:
    """The text of a file that ``write_whole`` has written; ``OSError`` or ``UnicodeError`` if it cannot be read."""
    return path.read_text(encoding="utf-8", errors="surrogatepass")
