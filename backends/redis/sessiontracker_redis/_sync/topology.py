# Generated from backends/redis/sessiontracker_redis/_async/topology.py by scripts/generate_sync.py: edit that.
"""Which server is asked for what: here the only one, or the primary that sentinels name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from sessiontracker.backend import operations

from ..confirming import confirmed, question
from ..failures import NotConnectedError
from ..options import Options
from ..packing import Command
from ..transaction import wire
from .node import Node
from .pools import Pools
from .subscriber import Subscriber

__all__ = ["Single", "Topology"]


class Topology(ABC):
    """The servers that sessions and locks are on."""

    gathers: bool
    """Whether one script may be about several keys."""

    def __init__(self, options: Options) -> None:
        self._timeout = options.timeout
        self._replicas = options.wait_replicas

    @abstractmethod
    def open(self) -> None:
        """Find the servers. Raises: NotConnectedError."""

    @abstractmethod
    def primaries(self) -> Mapping[str, Node]:
        """The nodes that take writes, by their names."""

    def doubt(self) -> None:
        """One of them did not answer as it should: look whether they are still the same."""

    @abstractmethod
    def lane_of(self, address: operations.Address) -> int:
        """Which batches are in flight at once: those of one server hold up no other's."""

    @abstractmethod
    def exchange(
        self, commands: Sequence[Command], packed: Sequence[bytes], *, confirm: bool
    ) -> list[Any]:
        """As many replies as ``commands``, scripts whose wire form is ``packed``.

        An error of the server is a reply, too; so is NotConnectedError, where nothing was sent;
        None where no reply came. With ``confirm``, what too few replicas know is `Unconfirmed`.
        """

    @abstractmethod
    def subscribe(self, channel: bytes) -> Subscriber:
        """Raises: NotConnectedError, RedisError, OSError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection."""

    def _exchange_with(
        self,
        node: Node,
        commands: Sequence[Command],
        packed: Sequence[bytes],
        timeout: float,
        *,
        confirm: bool,
    ) -> list[Any]:
        """As `exchange`, with one node, for ``timeout`` seconds."""
        count = len(commands)
        try:
            if not confirm:
                return node.exchange(commands, packed, timeout)
            asked = question(commands[-1], self._replicas, timeout)
            commands = [*commands, *asked]
            packed = [*packed, *map(wire, asked)]
            replies = node.exchange(commands, packed, timeout, tail=len(asked))
        except NotConnectedError as error:
            return [error] * count
        return confirmed(replies[:-2], replies[-2:], self._replicas)


class Single(Topology):
    """One server. If it is the one that sentinels name, its pool asks them."""

    gathers = True
    lanes = 2

    def __init__(self, pools: Pools, options: Options) -> None:
        super().__init__(options)
        self.node = pools.only()

    def open(self) -> None:
        """There is nothing to find."""

    def primaries(self) -> Mapping[str, Node]:
        return {"": self.node}

    def lane_of(self, address: operations.Address) -> int:
        return hash(address.scope or address.key) % self.lanes

    def exchange(
        self, commands: Sequence[Command], packed: Sequence[bytes], *, confirm: bool
    ) -> list[Any]:
        return self._exchange_with(self.node, commands, packed, self._timeout, confirm=confirm)

    def subscribe(self, channel: bytes) -> Subscriber:
        return self.node.subscribe(channel)

    def close(self) -> None:
        self.node.close()
