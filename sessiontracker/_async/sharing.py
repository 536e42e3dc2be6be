"""Reading and writing what an owner's sessions share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from ..contract import new_id
from ..errors import ConfigurationError
from ..events import SharedStateUpdated
from ..operations import (
    Address,
    FoundShared,
    Outcome,
    ReadShared,
    SavedShared,
    Shared,
    WriteShared,
)
from ..owned import OwnedBinding
from ..refusals import owner_refusal
from ..shared import SharedCodec, Unknown
from .keeper import AsyncKeeper, AsyncStore

__all__ = ["AsyncOwner", "AsyncSharedEdit", "AsyncSharedState"]

P = TypeVar("P")


class AsyncOwner(NamedTuple):
    """Whose sessions, and where they are."""

    store: AsyncStore[Any]
    address: Address
    name: str


class AsyncSharedState(Generic[P]):
    """What an owner's sessions share, as it was read last."""

    __slots__ = ("_before", "_codec", "_keeper", "_owner", "_read", "_unknown", "value")

    value: P

    def __init__(self, keeper: AsyncKeeper, owner: AsyncOwner) -> None:
        self._keeper = keeper
        self._owner = owner
        self._codec = _codec_of(owner)
        self._read: Shared | None = None
        self._unknown: Unknown | None = None
        self._before = b""

    async def read(self) -> None:
        """Raises: SessionDecodeError."""
        outcome = await self._owner.store.storage.ask(ReadShared(self._owner.address))
        if type(outcome) is not FoundShared:
            raise owner_refusal(outcome, self._owner.store.binding, 0)
        self._read = outcome.shared
        if outcome.shared is None:
            self.value, self._unknown = self._codec.fresh(), None
        else:
            self.value, self._unknown = self._codec.decode(outcome.shared.payload)
        self._before = self._codec.snapshot(self.value)

    @property
    def is_changed(self) -> bool:
        return self._codec.snapshot(self.value) != self._before

    async def write(self) -> Outcome:
        """`SavedShared`, or what came of it instead. Raises: SessionEncodeError."""
        store, address, name = self._owner
        binding = store.binding
        assert isinstance(binding, OwnedBinding)
        payload = self._codec.encode(self.value, self._unknown)
        version, write = (0, 0) if self._read is None else (self._read.version, self._read.write)
        keep = binding.shared_retention
        outcome = await store.storage.ask(
            WriteShared(address, new_id(), version, write, payload, keep)
        )
        if type(outcome) is SavedShared and self._keeper.observers:
            self._keeper.tell_of_owner(
                SharedStateUpdated, address, owner=name, version=outcome.version
            )
        return outcome

    def refusal(self, outcome: Outcome) -> Exception:
        """The error for what came of `write`."""
        expected = 0 if self._read is None else self._read.version
        return owner_refusal(outcome, self._owner.store.binding, expected)


def _codec_of(owner: AsyncOwner) -> SharedCodec:
    binding = owner.store.binding
    shared = binding.shared if isinstance(binding, OwnedBinding) else None
    if shared is None:
        raise ConfigurationError(
            f"{binding.type.__name__} shares nothing: write class {binding.type.__name__}"
            "(OwnedSession[Profile]), where Profile is what an owner's sessions are to share"
        )
    return shared


class AsyncSharedEdit(Generic[P]):
    """What an owner's sessions share, inside ``async with``. Made by ``tracker.edit_shared()``."""

    __slots__ = ("_keeper", "_resolve", "_state")

    def __init__(self, keeper: AsyncKeeper, resolve: Callable[[], Awaitable[AsyncOwner]]) -> None:
        self._keeper = keeper
        self._resolve = resolve

    async def __aenter__(self) -> P:
        owner = await self._resolve()
        self._state: AsyncSharedState[P] = AsyncSharedState(self._keeper, owner)
        await self._state.read()
        return self._state.value

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None or not self._state.is_changed:
            return
        outcome = await self._state.write()
        if type(outcome) is not SavedShared:
            raise self._state.refusal(outcome)
