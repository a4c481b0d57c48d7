"""What environments hold of well-known libraries: copied faithfully, or refused by name."""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import struct
import typing
import zlib
import zoneinfo
from collections.abc import Callable
from typing import Any

import chess
import gymnasium as gym
import numpy as np
import pytest

from spec_envs import fork
from spec_envs.errors import NotForkable
from spec_envs.forking import difference
from tests.foreign_envs import foreign


def test_boards_of_python_chess():
    board = chess.Board()
    for move in ("e2e4", "e7e5", "g1f3"):
        board.push_uci(move)
    env = foreign(board=board)
    twin = fork(env)
    assert difference(env, twin) is None
    twin.board.pop()
    twin.board.push_uci("d2d4")
    assert board.peek().uci() == "g1f3" and len(board.move_stack) == 3
    board.pop()
    board.pop()
    assert twin.board.fen().startswith("rnbqkbnr/pppp1ppp/8/4p3/3PP3/8/PPP2PPP")


@pytest.mark.parametrize("make", [np.random.RandomState, lambda seed: np.random.Generator(np.random.MT19937(seed))])
def test_forks_of_forks_of_old_generators_are_like_the_original(make):
    env = foreign(rng=make(3))
    env.rng.standard_normal()
    twin = fork(fork(env))
    assert difference(env, twin) is None and difference(twin, env) is None
    assert env.rng.standard_normal() == twin.rng.standard_normal()


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"price": [1.0, 2.0], "name": ["a", "b"]}, index=[5, 6])
    env = foreign(frame=frame, column=frame["price"].copy(), index=frame.index)
    twin = fork(env)
    assert difference(env, twin) is None
    twin.frame.loc[5, "price"] = 9.0
    twin.frame.loc[7] = [3.0, "c"]
    twin.column.iloc[0] = 8.0
    assert frame["price"].tolist() == [1.0, 2.0] and len(frame) == 2 and env.column.iloc[0] == 1.0


def test_a_class_without_a_module_is_refused_by_name():
    """As SwigPyObject, in which Box2D keeps the address of an object."""

    class NoModule(type):
        @property
        def __module__(cls) -> str:  # type: ignore[override]
            raise AttributeError("__module__")

    class Address(metaclass=NoModule):
        __slots__ = ()

        def __reduce_ex__(self, protocol):
            raise TypeError("cannot pickle 'Address' object")

    with pytest.raises(NotForkable, match=r"env\.this is a .*Address, which cannot be copied"):
        fork(foreign(this=Address()))


def compressor(begun: bool) -> Any:
    made = zlib.compressobj()
    if begun:
        made.compress(b"a" * 1000)
    return made


def decompressor() -> Any:
    made = zlib.decompressobj()
    made.decompress(zlib.compress(bytes(range(256)))[:100], 20)
    return made


def image(mode: str = "RGB", **info: Any) -> Any:
    made = pytest.importorskip("PIL.Image").new(mode, (5, 4))
    made.info.update(info)
    return made


def surface(**colors: Any) -> Any:
    made = pytest.importorskip("pygame").Surface((5, 4))
    made.set_clip((0, 0, 3, 3))
    made.set_at((1, 1), (9, 9, 9))
    if colors:
        made.set_colorkey(colors["key"])
    return made


def put(picture: Any, number: int) -> bytes:
    picture.putpixel((1, 1), number)
    return picture.tobytes()


def draw(pixels: Any, number: int) -> bytes:
    pixels.set_at((2, 2), (number, 0, 0))
    return bytes(pixels.get_buffer().raw)


def mark(mask: Any, number: int) -> int:
    mask.set_at((number % 3, 0))
    return mask.count()


def hashed(value: Any, number: int) -> str:
    value.update(bytes([number]))
    return value.hexdigest(9) if "shake" in value.name else value.hexdigest()


#: Makes a value, and goes on from it with a number; returns what can be seen of it then.
COPIED: dict[str, tuple[Callable[[], Any], Callable[[Any, int], Any]]] = {
    **{name: (functools.partial(hashlib.new, name, b"a"), hashed) for name in sorted(hashlib.algorithms_guaranteed)},
    "blake2b with a key": (lambda: hashlib.blake2b(b"a", digest_size=8, key=b"k"), hashed),
    "hmac": (lambda: hmac.new(b"k", b"m", "sha256"), lambda value, number: hashed(value, number)),
    "compressor": (
        lambda: compressor(False),
        lambda value, number: value.compress(b"x" * number) + value.flush(zlib.Z_SYNC_FLUSH),
    ),
    "begun compressor": (
        lambda: compressor(True),
        lambda value, number: value.compress(b"y" * number) + value.flush(zlib.Z_SYNC_FLUSH),
    ),
    "decompressor": (decompressor, lambda value, number: value.decompress(value.unconsumed_tail, number)),
    "image": (image, lambda value, number: put(value, number)),
    "grey image": (lambda: image("L", source=["a"]), put),
    "image with a palette": (lambda: image("P"), put),
    "surface": (surface, draw),
    "surface with a key": (lambda: surface(key=(1, 2, 3)), draw),
    "mask": (lambda: pytest.importorskip("pygame").Mask((3, 3)), mark),
    "clock": (lambda: pytest.importorskip("pygame").time.Clock(), lambda value, number: type(value)),
}


@pytest.mark.parametrize("make", [each for each, _ in COPIED.values()], ids=COPIED)
def test_what_a_library_copies_itself_is_copied(make):
    go_on = next(each for known, each in COPIED.values() if known is make)
    value = make()
    env = foreign(value=value, again=[value])
    twin = fork(env)
    assert twin.value is not value and twin.again[0] is twin.value
    assert difference(env, twin) is None
    changed = go_on(value, 7)
    assert changed == go_on(twin.value, 7) == go_on(fork(foreign(value=make())).value, 7)
    if go_on not in (COPIED["clock"][1], COPIED["decompressor"][1]):
        go_on(twin.value, 8)
        assert difference(env, twin) is not None


def test_the_info_of_an_image_is_copied_too():
    env = foreign(image=image(source=["a"]))
    twin = fork(env)
    twin.image.info["source"].append("b")
    assert env.image.info == {"source": ["a"]}


CANNOT_CHANGE = {
    "struct": lambda: struct.Struct("<II"),
    "zone": lambda: zoneinfo.ZoneInfo("UTC"),
    "match": lambda: re.match("a", "ab"),
    "match of bytes": lambda: re.match(b"a", b"ab"),
    "calendar": np.busdaycalendar,
    "type variable": lambda: typing.TypeVar("T"),
    "new type": lambda: typing.NewType("N", int),
}


@pytest.mark.parametrize("make", CANNOT_CHANGE.values(), ids=CANNOT_CHANGE)
def test_what_cannot_change_is_shared(make):
    env = foreign(value=make())
    twin = fork(env)
    assert twin.value is env.value and difference(env, twin) is None


def subsurface() -> Any:
    whole = surface()
    return {"whole": whole, "part": whole.subsurface((0, 0, 2, 2))}


STILL_REFUSED = {
    "part of a surface": (subsurface, r"env\.value\['part'\] is a surface over the pixels of another one"),
    "image over a buffer": (
        lambda: pytest.importorskip("PIL.Image").frombuffer("L", (2, 2), bytearray(4), "raw", "L", 0, 1),
        r"env\.value is an image over the memory of something else",
    ),
    "match of a buffer": (lambda: re.match(b"a", bytearray(b"ab")), r"env\.value is a Match and cannot be compared"),
}


@pytest.mark.parametrize(("make", "message"), STILL_REFUSED.values(), ids=STILL_REFUSED)
def test_what_shares_memory_is_refused(make, message):
    with pytest.raises(NotForkable, match=message):
        fork(foreign(value=make()))


def test_an_environment_that_was_drawn_forks_on():
    pytest.importorskip("pygame")
    env: Any = gym.make("CartPole-v1", render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    twin = fork(env)
    assert difference(env, twin) is None
    assert np.array_equal(twin.render(), before)
    for _ in range(3):
        assert (twin.step(1)[0] == env.step(1)[0]).all()
    twin.step(0)
    assert not np.array_equal(env.render(), twin.render())


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_a_vector_environment_inside_goes_on(mode):
    inner = gym.wrappers.vector.RecordEpisodeStatistics(gym.make_vec("CartPole-v1", 2, vectorization_mode=mode))
    inner.reset(seed=0)
    env = foreign(inner=inner)
    twin = fork(env)
    for number in range(30):
        actions = np.array([number % 2, 1 - number % 2])
        assert (twin.inner.step(actions)[0] == inner.step(actions)[0]).all()
