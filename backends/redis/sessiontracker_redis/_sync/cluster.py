# Generated from backends/redis/sessiontracker_redis/_async/cluster.py by scripts/generate_sync.py: edit that.
"""A cluster: each command goes to the node that has its slot, and follows slots that move."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from redis.exceptions import (
    ClusterDownError,
    InvalidResponse,
    RedisError,
    TimeoutError,
    TryAgainError,
)

from sessiontracker.backend import operations

from ..confirming import confirmed, question
from ..failures import NotConnectedError, code_of
from ..keys import tag_of
from ..options import Options
from ..order import sendable
from ..packing import Command, with_script
from ..slots import SLOTS, Endpoint, Range, Redirection, ranges, redirection, slot_of
from .node import Node
from .pools import Pools
from .runtime import Worker, all_of, sleep
from .subscriber import Subscriber
from .topology import Topology

__all__ = ["Cluster"]

_MOST_REDIRECTIONS = 5
_REFRESH_EVERY = 0.5  # s: however many are sent elsewhere, one asks who has which slots
_PATIENCE = 1.0  # s: for a node to say so; there are others
_DOUBTFUL = {"CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "READONLY"}
_SLOTS: Command = (b"CLUSTER", b"SLOTS")
_ASKING: Command = (b"ASKING",)


class Member:
    """A node of the cluster, and where it is. ``number`` is its lane's."""

    __slots__ = ("endpoint", "node", "number")

    def __init__(self, endpoint: Endpoint, node: Node, number: int) -> None:
        self.endpoint = endpoint
        self.node = node
        self.number = number


class Cluster(Topology):
    """Which member has which slot: asked when opening, corrected by redirections, asked anew
    behind the callers when something does not answer as it should."""

    gathers = False

    def __init__(self, pools: Pools, options: Options) -> None:
        super().__init__(options)
        self._pools = pools
        self._members: dict[Endpoint, Member] = {}
        self._numbers: dict[Endpoint, int] = {}
        self._owners: list[Member | None] = [None] * SLOTS
        self._named: Endpoint | None = None
        self._worker = Worker()
        self._next_refresh = 0.0
        self._closed = False

    def open(self) -> None:
        self._discover()

    def primaries(self) -> Mapping[str, Node]:
        owners = {owner for owner in self._owners if owner is not None}
        return {f"{host}:{port}": each.node for each in owners for host, port in [each.endpoint]}

    def lane_of(self, address: operations.Address) -> int:
        owner = self._owners[slot_of(tag_of(address))]
        return 0 if owner is None else owner.number

    # Asking ------------------------------------------------------------------

    def exchange(
        self, commands: Sequence[Command], packed: Sequence[bytes], *, confirm: bool
    ) -> list[Any]:
        until = monotonic() + self._timeout
        replies: list[Any] = [None] * len(commands)
        parts: dict[tuple[Member, bool], list[int]] = {}
        owners: dict[int, Member | None] = {}  # all that is about a slot goes the same way
        for index, command in enumerate(commands):
            slot = slot_of(str(command[3]))
            owner = owners.setdefault(slot, self._owners[slot])
            if owner is None:
                replies[index] = ClusterDownError("no node has the slot")
                self.doubt()
            else:
                parts.setdefault((owner, False), []).append(index)
        for _ in range(_MOST_REDIRECTIONS):
            if not parts:
                return replies
            all_of(
                [
                    partial(self._ask, part, indexes, commands, packed, replies, until, confirm)
                    for part, indexes in parts.items()
                ]
            )
            parts = self._redirected(parts, commands, replies)
        for index in [index for indexes in parts.values() for index in indexes]:
            replies[index] = TryAgainError("it was sent from node to node")
        return replies

    def _ask(
        self,
        part: tuple[Member, bool],
        indexes: Sequence[int],
        commands: Sequence[Command],
        packed: Sequence[bytes],
        replies: list[Any],
        until: float,
        confirm: bool,
    ) -> None:
        """Ask one member those ``commands``, and put its answers among the ``replies``."""
        member, asking = part
        mine = [commands[index] for index in indexes]
        left = until - monotonic()
        if left <= 0:
            late = NotConnectedError(TimeoutError("there was no time left to ask it"))
            answers: list[Any] = [late] * len(mine)
        elif asking:
            answers = self._exchange_asking(member.node, mine, left, confirm=confirm)
        else:
            sent = [packed[index] for index in indexes]
            answers = self._exchange_with(member.node, mine, sent, left, confirm=confirm)
        for index, answer in zip(indexes, answers, strict=True):
            replies[index] = answer
        if any(map(_is_doubtful, answers)):
            for answer in answers:
                there = redirection(answer, member.endpoint)
                if there is not None and not there.asking:
                    self._named = there.endpoint
            self.doubt()

    def _exchange_asking(
        self, node: Node, commands: Sequence[Command], timeout: float, *, confirm: bool
    ) -> list[Any]:
        """As `_exchange_with`, for slots that are on their way to ``node``.

        ASKING is for the very next command alone, which therefore brings its script along.
        """
        asked = [with_script(command) for command in commands]
        if confirm:
            mark, wait = question(commands[-1], self._replicas, timeout)
            asked.append(mark)
        sent = [each for command in asked for each in (_ASKING, command)]
        if confirm:
            sent.append(wait)
        try:
            replies = node.ask(timeout, *sent)
        except NotConnectedError as error:
            return [error] * len(commands)
        answers = replies[1 : 2 * len(commands) : 2]
        return confirmed(answers, replies[-2:], self._replicas) if confirm else answers

    def _redirected(
        self,
        parts: Mapping[tuple[Member, bool], list[int]],
        commands: Sequence[Command],
        replies: list[Any],
    ) -> dict[tuple[Member, bool], list[int]]:
        """What of ``parts`` is to be asked elsewhere: nothing was done about that."""
        elsewhere: dict[int, Redirection] = {}
        for (member, _), indexes in parts.items():
            for index in indexes:
                there = redirection(replies[index], member.endpoint)
                if there is not None:
                    elsewhere[index] = there
        if not elsewhere:
            return {}
        for index in elsewhere:
            replies[index] = TryAgainError("what was asked after it was done before it")
        again: dict[tuple[Member, bool], list[int]] = {}
        ways: dict[int, tuple[Member, bool]] = {}  # all that is about a slot goes the same
        for index in sendable(commands, elsewhere):
            there = elsewhere[index]
            way = ways.get(there.slot)
            if way is None:
                way = ways[there.slot] = self._follow(there), there.asking
            again.setdefault(way, []).append(index)
        return again

    def _follow(self, there: Redirection) -> Member:
        member = self._member(there.endpoint)
        if not there.asking:
            self._owners[there.slot] = member
        return member

    def _member(self, endpoint: Endpoint) -> Member:
        member = self._members.get(endpoint)
        if member is None:
            number = self._numbers.setdefault(endpoint, len(self._numbers))
            fresh = Member(endpoint, self._pools.member(endpoint), number)
            member = self._members.setdefault(endpoint, fresh)
        return member

    # Who has which slots -----------------------------------------------------

    def doubt(self) -> None:
        """Ask who has which slots, behind the callers: once, however many notice it."""
        if not self._closed:
            self._worker.start(self._refresh)

    def _refresh(self) -> None:
        sleep(max(0.0, self._next_refresh - monotonic()))
        self._next_refresh = monotonic() + _REFRESH_EVERY * random.uniform(0.5, 1.5)
        try:
            self._discover()
        except NotConnectedError:
            pass  # the next that gets no answer asks again

    def _discover(self) -> None:
        """Raises: NotConnectedError."""
        known = [member.endpoint for member in list(self._members.values())]
        random.shuffle(known)
        named, self._named = self._named, None
        known.sort(key=lambda endpoint: endpoint != named)  # others may not have heard of it yet
        error: Exception = ClusterDownError("no node is known")
        for endpoint in dict.fromkeys([*known, *self._pools.seeds()]):
            try:
                [reply] = self._member(endpoint).node.ask(_PATIENCE, _SLOTS)
            except NotConnectedError as failure:
                error = failure.error
                continue
            if isinstance(reply, list) and reply:
                try:
                    known_slots = ranges(reply, endpoint)
                except InvalidResponse as senseless:
                    error = senseless
                    continue
                self._adopt(known_slots)
                return
            error = reply if isinstance(reply, Exception) else error
        raise NotConnectedError(error)

    def _adopt(self, known: Iterable[Range]) -> None:
        owners: list[Member | None] = [None] * SLOTS
        for first, last, endpoint in known:
            owners[first : last + 1] = [self._member(endpoint)] * (last + 1 - first)
        self._owners = owners
        for member in set(self._members.values()) - set(owners):
            del self._members[member.endpoint]
            member.node.close()

    # Hints -------------------------------------------------------------------

    def subscribe(self, channel: bytes) -> Subscriber:
        """Any node will do: what a script publishes on one of them reaches all."""
        nodes = list(self.primaries().values())
        if not nodes:
            raise NotConnectedError(ClusterDownError("no node is known"))
        try:
            return random.choice(nodes).subscribe(channel)
        except (NotConnectedError, RedisError, OSError):
            self.doubt()
            raise

    def close(self) -> None:
        self._closed = True
        self._worker.stop()
        for member in list(self._members.values()):
            member.node.close()


def _is_doubtful(reply: Any) -> bool:
    """Whether another node may be the one to ask."""
    return (
        reply is None
        or isinstance(reply, NotConnectedError)
        or (isinstance(reply, Exception) and code_of(reply) in _DOUBTFUL)
    )
