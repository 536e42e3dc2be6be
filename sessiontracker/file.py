"""The file backend: sessions and locks in a directory, for the processes of one machine.

``url`` is the directory; it is made if its parent is there. Options: ``fsync`` (off unless
set: what was acknowledged survives every process, but a power cut may take the last seconds)
and ``clock``, a callable returning µs since 1970, with which a test moves time. The file system
must be a local one with POSIX locks; on Windows choose SQLite.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from ._sync.compare_and_swap import CompareAndSwapBackend
from .blobs import UndecodableError, claims, decode, slot_name
from .contract import (
    API_VERSION,
    Asked,
    AsyncBackend,
    Backend,
    BackendOptions,
    Capability,
    LockingPlugin,
    StoragePlugin,
)
from .errors import BackendError, BackendUnavailableError, ConfigurationError
from .hookspecs import hookimpl
from .operations import Address, Outcome
from .paths import parse_path
from .threaded import AsyncThreadedBackend, ThreadedBackend
from .wording import shown

__all__ = ["FileStore"]

_MARK = ".sessiontracker"
_FORMAT = b"1\n"
_LOCK, _NEW = ".lock", ".new"
_STRIPE = 2  # so many of a digest's characters: 256 directories a type, with a lock each

_MOST_BYTES = 1 << 28  # of a slot: what is larger is not read, and not written

_HINTS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or raise the quota",
    errno.EROFS: "mount it writable",
    errno.EACCES: "let this process's user read and write it",
    errno.EPERM: "let this process's user read and write it",
    errno.ENOTDIR: "move away the file that is in a directory's place",
    errno.EISDIR: "move away the directory that is in a file's place",
    errno.ELOOP: "move away the link that is in a file's place",
    errno.ENOLCK: "choose a local file system, or SQLite",
    errno.EOPNOTSUPP: "choose a local file system, or SQLite",
}


class FileStore(CompareAndSwapBackend):
    """A file a slot, replaced in one step under the lock of its stripe.

    A slot's tag is what its file holds: the machine is a pure function, so what has become the
    same again is the same. Reading takes no lock.
    """

    poll_every = 0.005
    max_clock_skew = 0.1

    def __init__(
        self, root: Path, *, fsync: bool = False, clock: Callable[[], int] | None = None
    ) -> None:
        super().__init__()
        self._root = root
        self._fsync = fsync
        self._clock = clock or self.now
        self._claims: list[int] = []
        self._looked: dict[Address, bytes | None] = {}

    def open(self) -> None:
        mark = self._root / _MARK
        try:
            self._root.mkdir(mode=0o700, exist_ok=True)
            # An empty one is just being made.
            written = (_contents(mark) if mark.exists() else b"") or _make(mark)
        except FileNotFoundError:
            raise BackendUnavailableError(
                f"{self._root}: there is no {self._root.parent}: make it first"
            ) from None
        except FileExistsError:
            raise BackendUnavailableError(
                f"{self._root} is a file: the url of the file backend is a directory"
            ) from None
        except OSError as error:
            raise self._refused(error) from error
        except UndecodableError as error:
            raise BackendError(f"{error}: move it away") from None
        if written != _FORMAT:
            raise BackendError(
                f"{self._root} was written by a newer sessiontracker: upgrade this one"
            )

    # A slot ------------------------------------------------------------------------

    def load(self, slot: str) -> tuple[bytes | None, bytes | None, int]:
        data = self._read(slot)
        return data, data, self._clock()

    def store(self, slot: str, blob: bytes | None, if_tag: bytes | None) -> bool:
        path = self._path(slot)
        if blob is not None and len(blob) > _MOST_BYTES:
            raise BackendError(
                f"all that an owner has, or a session, would weigh more than {_MOST_BYTES:,} "
                "bytes: keep fewer sessions of one owner (max_per_owner), or choose SQLite"
            )
        try:
            with self._locked(path.parent) as locked:
                if not locked or self._read(slot) != if_tag:
                    return False
                if blob is None:
                    path.unlink(missing_ok=True)
                else:
                    self._replace(path, blob)
        except OSError as error:
            if error.errno in _HINTS:
                raise self._refused(error) from error
            raise
        return True

    def slots(self, after: str, limit: int) -> Sequence[str]:
        self._check_root()
        names: list[str] = []
        for type in sorted(f"{name}-" for name in _directories(self._root)):
            if type < after and not after.startswith(type):
                continue
            digest = after.removeprefix(type) if after.startswith(type) else ""
            place = self._root / type[:-1]
            for stripe in sorted(_directories(place)):
                if stripe >= digest[:_STRIPE]:
                    found = [type + stripe + path.name for path in (place / stripe).iterdir()]
                    hidden = type + stripe + "."
                    names += sorted(n for n in found if n > after and not n.startswith(hidden))
                if len(names) >= limit:
                    return names[:limit]
        return names

    def _path(self, slot: str) -> Path:
        type, _, digest = slot.rpartition("-")
        return self._root / type / digest[:_STRIPE] / digest[_STRIPE:]

    def _read(self, slot: str) -> bytes | None:
        try:
            return _contents(self._path(slot))
        except FileNotFoundError:
            self._check_root()
            return None
        except NotADirectoryError as error:
            self._check_root()
            raise UndecodableError(f"{error.filename} is in a file") from None
        except OSError as error:
            if error.errno in _HINTS:
                raise self._refused(error) from error
            raise

    def _check_root(self) -> None:
        """A directory that was removed or unmounted is not one without sessions."""
        if not (self._root / _MARK).exists():
            raise BackendUnavailableError(
                f"{self._root} is not there any more, or was emptied: bring it back, or open the "
                "tracker anew to begin with an empty one"
            )

    @contextmanager
    def _locked(self, stripe: Path) -> Generator[bool, None, None]:
        """With the lock of a stripe; False if it was not free for too long to go on.

        The kernel lets it go when its process dies. Lock files stay: one that is removed while
        another process waits for it would be locked twice.
        """
        import fcntl

        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            lock = os.open(stripe / _LOCK, flags, 0o600)
        except FileNotFoundError:
            self._check_root()
            stripe.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(stripe / _LOCK, flags, 0o600)
        try:
            until = time.monotonic() + self.max_clock_skew
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > until:
                        yield False
                        return
                    time.sleep(0.0005)
                else:
                    break
            try:
                yield True
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)  # also where a fork has copied the descriptor
        finally:
            os.close(lock)

    def _replace(self, path: Path, data: bytes) -> None:
        """Write ``data``, and put it in the place of ``path`` in one step."""
        new = path.with_name(_NEW)  # one a stripe
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            made = os.open(new, flags, 0o600)
        except FileExistsError:  # a killed process left it; or it is a link, to whatever
            new.unlink()
            made = os.open(new, flags, 0o600)
        with os.fdopen(made, "wb") as file:
            file.write(data)
            if self._fsync:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
        if self._fsync:
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _refused(self, error: OSError) -> BackendUnavailableError:
        hint = _HINTS.get(error.errno or 0, "see that the file system is well")
        return BackendUnavailableError(
            f"the file backend cannot use {error.filename or self._root}: {error.strerror}: {hint}"
        )

    # Who waits -------------------------------------------------------------------------

    def execute(self, operations: Sequence[Asked]) -> list[Outcome]:
        self._claims = []
        return super().execute(operations)

    def claims(self) -> Sequence[int]:
        return self._claims

    def _wake(self, tickets: Iterable[int]) -> None:
        self._claims += tickets

    def look(self, waiting: Mapping[int, Address], /) -> Collection[int]:
        found: set[int] = set()
        looked: dict[Address, bytes | None] = {}
        for slot in {address.slot for address in waiting.values()}:
            name = slot_name(slot)
            try:
                data = looked[slot] = self._read(name)
                if data is None or data == self._looked.get(slot):
                    continue
                found.update(claims(decode(name, data).slot))
            except UndecodableError:
                continue  # whoever waits is told at the next look
        self._looked = looked
        return found & waiting.keys()


def _contents(path: Path) -> bytes:
    """What the file at ``path`` holds. What others may have put there in its place is not waited
    for, and not followed.

    Raises: OSError; UndecodableError if it is none of ours.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise UndecodableError(f"{path} is a link, or a socket") from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UndecodableError(f"{path} is no file")
        if status.st_size > _MOST_BYTES:
            raise UndecodableError(f"{path} has more than {_MOST_BYTES:,} bytes")
        return FileIO(descriptor, closefd=False).readall()
    finally:
        os.close(descriptor)


def _make(mark: Path) -> bytes:
    """Mark a directory as ours: what the mark holds."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(mark, flags, 0o600), "wb") as made:
        made.write(_FORMAT)
    return _FORMAT


def _directories(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."]


# The plugin ----------------------------------------------------------------------------


def _checked(options: BackendOptions) -> dict[str, Any]:
    where = f"backends.{options.name}"
    if os.name != "posix":
        raise ConfigurationError(
            f"{where}.use: the file backend needs a POSIX system: "
            'write use = "sql" and url = "sqlite:///sessions.db"'
        )
    if not options.url:
        raise ConfigurationError(
            f'{where}.url: the file backend needs a directory, as in url = "/var/lib/app/sessions"'
        )
    known = dict(options.options)
    fsync, clock = known.pop("fsync", False), known.pop("clock", None)
    if known:
        raise ConfigurationError(
            f"{where}.{next(iter(known))}: the file backend knows fsync and clock only"
        )
    if not isinstance(fsync, bool):
        raise ConfigurationError(f"{where}.fsync: write true or false, not {shown(fsync)}")
    if clock is not None and not callable(clock):
        raise ConfigurationError(f"{where}.clock: give a callable that returns µs since 1970")
    root = parse_path(options.url, path=f"{where}.url")
    return {"root": root, "fsync": fsync, "clock": clock}


def _store(options: BackendOptions) -> FileStore:
    store = FileStore(**_checked(options))
    store.patience = options.patience(None, store.patience)
    return store


def _open_async(options: BackendOptions) -> AsyncBackend:
    return AsyncThreadedBackend(_store(options))


def _open_sync(options: BackendOptions) -> Backend:
    return ThreadedBackend(_store(options))


_CAPABILITIES = frozenset(Capability)


@hookimpl
def sessiontracker_storage() -> StoragePlugin:
    return StoragePlugin(
        name="file",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=API_VERSION,
        capabilities=_CAPABILITIES,
    )


@hookimpl
def sessiontracker_locking() -> LockingPlugin:
    return LockingPlugin(
        name="file",
        open_async=_open_async,
        open_sync=_open_sync,
        api_version=API_VERSION,
        capabilities=_CAPABILITIES,
    )
