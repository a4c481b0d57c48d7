"""Objects of libraries written in C that pickle refuses, and that a method of their own copies faithfully.

What such an object holds is compared by what the library tells of it.
"""

import functools
import sys
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from spec_envs.forking.kinds import Copying, Uncopyable, full_name, guarded


class OwnCopy(NamedTuple):
    """How objects of one class are copied and compared."""

    copy: Callable[[Any], Any]
    content: Callable[[Any], Hashable]


def copy_by_library(copier: Copying, value: Any, own: OwnCopy) -> Any:
    """A copy of ``value``, made by its library.

    Raises:
        Uncopyable: The library cannot copy this one faithfully.
    """
    twin = copier.remember(value, guarded(value, lambda: own.copy(value)))
    if type(twin) is not type(value):
        raise Uncopyable(f"is a {full_name(type(value))}, whose copy is a {full_name(type(twin))}")
    for name, held in getattr(value, "__dict__", {}).items():
        if name not in _MADE_BY_COPY:
            twin.__dict__[name] = copier.part(held, ".{}", name)
    return twin


@functools.lru_cache(maxsize=1024)
def own_copy_of(kind: type) -> OwnCopy | None:
    """How the library copies objects of exactly this class; ``None`` where it does not."""
    if getattr(kind, "__module__", None) in _HASHES and hasattr(kind, "digest") and hasattr(kind, "copy"):
        return OwnCopy(lambda value: value.copy(), _digest)
    return _OWN.get(full_name(kind))


#: The modules of the classes of ``hashlib`` and ``hmac``.
_HASHES = frozenset({"_hashlib", "_blake2", "_md5", "_sha1", "_sha2", "_sha256", "_sha512", "_sha3", "_hmac"})
#: Attributes of Pillow's images that a copy gets by itself; it gets the others from the original.
_MADE_BY_COPY = frozenset(
    {"_im", "im", "_mode", "mode", "_size", "palette", "_readonly", "readonly", "_exif", "pyaccess"}
)


def _digest(value: Any) -> Hashable:
    try:
        return value.name, value.digest()
    except TypeError:  # of any length
        return value.name, value.digest(32)


def _copied_image(image: Any) -> Any:
    if image.readonly:
        raise Uncopyable("is an image over the memory of something else")
    return image.copy()


def _image(image: Any) -> Hashable:
    palette = image.palette
    return image.mode, image.size, image.tobytes(), None if palette is None else (palette.mode, bytes(palette.palette))


def _copied_surface(surface: Any) -> Any:
    display = sys.modules["pygame"].display
    if display.get_init() and surface is display.get_surface():
        raise Uncopyable("is the window")
    if surface.get_parent() is not None or surface.get_locked():
        raise Uncopyable("is a surface over the pixels of another one, or is locked")
    twin = surface.copy()
    twin.set_clip(surface.get_clip())
    return twin


def _surface(surface: Any) -> Hashable:
    about = (
        surface.get_size(),
        surface.get_flags(),
        surface.get_bitsize(),
        surface.get_masks(),
        surface.get_colorkey(),
    )
    return *about, surface.get_alpha(), tuple(surface.get_clip()), bytes(surface.get_buffer().raw)


def _mask(mask: Any) -> Hashable:
    return mask.get_size(), bytes(mask.to_surface().get_buffer().raw)


_OWN = {
    "zlib.Compress": OwnCopy(lambda value: value.copy(), lambda value: value.copy().flush()),
    "zlib.Decompress": OwnCopy(
        lambda value: value.copy(), lambda value: (value.unused_data, value.unconsumed_tail, value.eof)
    ),
    "PIL.Image.Image": OwnCopy(_copied_image, _image),
    "pygame.surface.Surface": OwnCopy(_copied_surface, _surface),
    "pygame.mask.Mask": OwnCopy(lambda value: value.copy(), _mask),
    # It only measures time, which a fork does for itself.
    "pygame.time.Clock": OwnCopy(lambda value: type(value)(), lambda value: None),
}
