"""Slots as blobs: in a store that compares and swaps, and in the file backend's directory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import msgspec

from sessiontracker.backend import (
    API_VERSION,
    Backend,
    BackendOptions,
    Capability,
    CompareAndSwapBackend,
    LockingPlugin,
    StoragePlugin,
    hookimpl,
)
from sessiontracker.plugins import registered

from .mutations import any_bytes, spoilt, spoilt_value
from .stored import Contents, Stored

__all__ = ["TARGETS"]

_DEPTHS = (100, 2_000, 100_000)
_HEAD = 7  # bytes of a mark and a checksum before a blob's body


class _Shelf(CompareAndSwapBackend):
    """A dictionary."""

    blobs: dict[str, bytes]

    def load(self, slot: str) -> tuple[bytes | None, Any, int | None]:
        blob = self.blobs.get(slot)
        return blob, blob, self.now()

    def store(self, slot: str, blob: bytes | None, if_tag: Any) -> bool:
        if self.blobs.get(slot) != if_tag:
            return False
        self.blobs.pop(slot, None)
        if blob is not None:
            self.blobs[slot] = blob
        return True

    def slots(self, after: str, limit: int) -> Sequence[str]:
        return sorted(name for name in self.blobs if name > after)[:limit]


class _ShelfPlugin:
    def __init__(self, blobs: dict[str, bytes]) -> None:
        self._blobs = blobs

    def _opened(self, options: BackendOptions) -> Backend:
        shelf = _Shelf()
        shelf.blobs = self._blobs
        return shelf

    def _made(self, kind: Any) -> Any:
        return kind(
            name="shelf",
            open_async=self._opened,
            open_sync=self._opened,
            api_version=API_VERSION,
            capabilities=frozenset({Capability.SCAN, Capability.OWNERS}),
        )

    @hookimpl
    def sessiontracker_storage(self) -> StoragePlugin:
        return self._made(StoragePlugin)

    @hookimpl
    def sessiontracker_locking(self) -> LockingPlugin:
        return self._made(LockingPlugin)


def spoil_blob(random: Random, blob: bytes, others: Sequence[bytes]) -> bytes:
    """A blob that is damaged, or one with the checksum of what is in it, which is wrong."""
    kind = random.randrange(4)
    if kind == 0:
        return spoilt(random, blob, others)
    body = blob[_HEAD:]
    if kind == 1:
        body = spoilt(random, body, [other[_HEAD:] for other in others])
    else:
        value = msgspec.msgpack.decode(body)
        for _ in range(random.choice((1, 1, 2))):
            value = spoilt_value(random, value)
        try:
            body = msgspec.msgpack.encode(value)
        except (OverflowError, RecursionError, TypeError, ValueError):
            body = any_bytes(random)
    if random.random() < 0.1 and body:  # an item too many, in which there is no end of items
        body = bytes([(body[0] + 1) % 256]) + body[1:] + b"\x91" * random.choice(_DEPTHS) + b"\xc0"
    return blob[: _HEAD - 4] + crc32(body).to_bytes(4, "big") + body


class Slots(Stored):
    """In a store that compares and swaps."""

    name = "slots"
    share = 60_000
    may_grow = 4.0
    fair = False

    def open(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self.using(registered("shelf", _ShelfPlugin(self._blobs)))
        super().open()

    def config(self) -> dict[str, Any]:
        return {"use": "shelf"}

    def contents(self) -> Contents:
        return dict(self._blobs)

    def put(self, contents: Contents) -> None:
        self._blobs.clear()
        self._blobs.update(contents)

    def spoil(self, random: Random, contents: Mapping[Any, Any]) -> Contents:
        blobs = dict(contents)
        name = random.choice(list(blobs))
        blobs[name] = spoil_blob(random, blobs[name], list(blobs.values()))
        return blobs


class Files(Stored):
    """In the file backend's directory, where there may be other things."""

    name = "files"
    share = 20_000
    fair = False
    few = 10

    def open(self) -> None:
        self._root = Path(self.using(tempfile.TemporaryDirectory())) / "sessions"
        super().open()

    def config(self) -> dict[str, Any]:
        return {"use": "file", "url": str(self._root)}

    def contents(self) -> Contents:
        return {
            os.fsencode(path.relative_to(self._root)): path.read_bytes()
            for path in self._root.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }

    def put(self, contents: Contents) -> None:
        for path in self._root.iterdir() if self._root.exists() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif not path.name.startswith("."):
                path.unlink()
        for name, data in contents.items():
            path = self._root / os.fsdecode(name)
            if data is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def spoil(self, random: Random, contents: Mapping[Any, Any]) -> Contents:
        files = dict(contents)
        name = random.choice(list(files))
        kind = random.randrange(10)
        if kind == 0:  # a directory in a file's place
            files[name] = None
        elif kind == 1:  # a file in a directory's place
            for place in [each for each in files if each.startswith(name[:5])]:
                del files[place]
            files[name.split(b"/")[0]] = any_bytes(random)
        elif kind == 2:  # what is none of ours
            stranger = random.choice((b"\xff\xfe", b"x" * 200, b"a b", "é".encode()))
            files[name + stranger if random.random() < 0.5 else name[:8] + stranger] = any_bytes(
                random
            )
        else:
            files[name] = spoil_blob(random, files[name], list(files.values()))
        return files


TARGETS = [Slots, Files]
