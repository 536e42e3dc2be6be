"""The processes of a history's clients, and what is done to them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from .workload import Plan

__all__ = ["Processes"]

TASKS = 4
OF_A_PROCESS = 1_000_000  # numbers of calls


class Processes:
    """``count`` of them; one that is killed is followed by another. Each third has threads."""

    def __init__(
        self, config: dict[str, Any], plan: Plan, folder: Path, seed: int, count: int
    ) -> None:
        self._config, self._plan, self._folder, self._seed = config, plan, folder, seed
        self._begun = 0
        self._running: list[subprocess.Popen[bytes]] = []
        self._of_threads: set[int] = set()
        for number in range(count):
            self._begin(threads=number % 3 == 2)

    def _begin(self, *, threads: bool) -> None:
        number = self._begun
        self._begun += 1
        arguments = [
            msgspec.json.encode(self._plan).decode(),
            json.dumps(self._config),
            str(self._folder / f"{number}.jsonl"),
            str((number + 1) * OF_A_PROCESS),
            f"{self._seed}/{number}",
            str(TASKS),
            "threads" if threads else "async",
        ]
        command = [sys.executable, "-m", "tests.robustness.clients", *arguments]
        environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        self._running.append(process)
        if threads:
            self._of_threads.add(process.pid)

    def kill(self, random: Random) -> None:
        process = self._running.pop(random.randrange(len(self._running)))
        process.kill()
        process.communicate()
        self._begin(threads=process.pid in self._of_threads)

    def freeze(self, random: Random) -> None:
        process = random.choice(self._running)
        process.send_signal(signal.SIGSTOP)
        time.sleep(random.uniform(0.5, 1.5) * self._plan.lease)
        process.send_signal(signal.SIGCONT)

    def done(self) -> int:
        """How many calls have begun, or nearly."""
        return sum(
            path.read_bytes().count(b'"is":"begin"') for path in self._folder.glob("*.jsonl")
        )

    def end(self) -> None:
        """Each ends what it has begun. Raises: RuntimeError if one of them failed."""
        for process in self._running:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._running:
            if process.wait(60) != 0:
                raise RuntimeError(f"a process of clients ended with {process.returncode}")

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
