"""Memory: ``get`` against bare msgspec, and the tracker's own share of every call.

    python -m benchmarks.memory [--rounds 9] [--calls 20000]

The ratio is the median over interleaved rounds: ``await tracker.get(...)`` of a session of
ten fields, against ``msgspec.msgpack.Decoder(Struct).decode`` of the same fields.

The share is what a call costs beyond its codec and its backend, measured apart on the very
same session and operation; where it goes is measured apart as well.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

import msgspec

from sessiontracker import AsyncSessionTracker, Session
from sessiontracker.contract import new_id
from sessiontracker.operations import Found, Hold, Read, Saved, Write


class Ten(Session):
    number: int = 42
    name: str = "Ada Lovelace"
    items: list[str] = ["book", "pen"]
    price: float = 12.5
    paid: bool = False
    note: str = "leave it at the door"
    step: int = 3
    stock: dict[str, int] = {"book": 1}
    currency: str = "EUR"
    total: int = 1250


Plain = msgspec.defstruct(
    "Plain", [(field.name, field.type, field.default_factory) if callable(field.default_factory)
              else (field.name, field.type, field.default)
              for field in msgspec.structs.fields(Ten)]
)  # fmt: skip
"""The same ten fields as a bare Struct."""


def time_of(call: Callable[[], object], calls: int) -> float:
    """µs a call."""
    began = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - began) / calls * 1e6


async def time_of_awaiting(call: Callable[[], Awaitable[object]], calls: int) -> float:
    """µs a call."""
    began = perf_counter()
    for _ in range(calls):
        await call()
    return (perf_counter() - began) / calls * 1e6


async def ratio(tracker: AsyncSessionTracker, rounds: int, calls: int) -> None:
    body = msgspec.msgpack.encode({name: getattr(Ten(), name) for name in Ten.__struct_fields__})
    decode = msgspec.msgpack.Decoder(Plain).decode
    gets, decodes = [], []
    for _ in range(rounds):
        gets.append(await time_of_awaiting(lambda: tracker.get(Ten, "a"), calls))
        decodes.append(time_of(lambda: decode(body), calls))
    paired = median(get / bare for get, bare in zip(gets, decodes, strict=True))
    print(f"memory get         {median(gets):6.2f} µs")
    print(f"bare msgspec       {median(decodes):6.2f} µs")
    print(f"ratio              {paired:6.1f}   (limit: 10)")


async def share(tracker: AsyncSessionTracker, rounds: int, calls: int) -> None:
    store = await tracker._store(Ten)
    binding, at_once = store.binding, store.storage.at_once
    assert at_once is not None
    address = binding.address("a", None, None)
    read = Read(address, False, True, None)
    found = at_once(read)
    assert isinstance(found, Found)
    session = await tracker.get(Ten, "a")
    own = await tracker.start(Ten(key="own"))
    await tracker.start(Ten(key="raw"))
    raw = binding.address("raw", None, None)

    def write() -> None:
        now = at_once(Read(raw))
        assert isinstance(now, Found)
        saved = at_once(Write(raw, new_id(), now.meta.stamp, now.payload))
        assert isinstance(saved, Saved)

    parts: dict[str, Callable[[], object]] = {
        "backend: read": lambda: at_once(read),
        "backend: read + write": write,
        "codec: decode": lambda: binding.codec.decode(found.payload, address),
        "codec: encode": lambda: binding.codec.encode(session),
        "tracker: name -> address": lambda: binding.address("a", None, None),
        "tracker: operation": lambda: Read(address, False, True, None),
        "tracker: id": new_id,
        "tracker: hold": lambda: Hold(1, 2),
        "tracker: metadata onto the session": lambda: binding.decoded(address, "a", found),
    }
    costs = {
        name: median(time_of(part, calls) for _ in range(rounds)) for name, part in parts.items()
    }
    costs["tracker: metadata onto the session"] -= costs["codec: decode"]
    whole = median(
        [await time_of_awaiting(lambda: tracker.get(Ten, "a"), calls) for _ in range(rounds)]
    )
    update = median(
        [await time_of_awaiting(lambda: tracker.update(own), calls) for _ in range(rounds)]
    )
    backend_write = costs["backend: read + write"] - costs["backend: read"]
    print()
    print(
        f"get                {whole:6.2f} µs, of which the tracker's own share "
        f"{whole - costs['backend: read'] - costs['codec: decode']:.2f} µs"
    )
    print(
        f"update             {update:6.2f} µs, of which the tracker's own share "
        f"{update - backend_write - costs['codec: encode']:.2f} µs"
    )
    print("where it goes:")
    for name, cost in costs.items():
        print(f"  {name:<36} {cost:5.2f} µs")


async def main(rounds: int, calls: int) -> None:
    async with AsyncSessionTracker() as tracker:
        await tracker.start(Ten(key="a"))
        await ratio(tracker, rounds, calls)
        await share(tracker, rounds, calls)


def run(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=20_000)
    chosen = parser.parse_args(arguments)
    asyncio.run(main(chosen.rounds, chosen.calls))


if __name__ == "__main__":
    run()
