"""What is run on the project: ``nox -l`` lists it, ``nox -s NAME`` runs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.sessions = ["lint", "typing", "sync", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
BACKENDS = sorted(str(path.parent) for path in Path("backends").glob("*/pyproject.toml"))


def install(session: nox.Session, *groups: str) -> None:
    """The core and every backend from source, and what the dependency groups name."""
    sources = [word for folder in [".", *BACKENDS] for word in ("-e", folder)]
    session.install(*sources, *nox.project.dependency_groups(PROJECT, *groups))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The default tests, on each supported Python that is there."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def machine_long(session: nox.Session) -> None:
    """The machine's properties, for at least 100,000 steps."""
    install(session, "test")
    long = ["--hypothesis-profile=long", "--timeout=0"]
    session.run(
        "pytest",
        "tests/test_machine_properties.py",
        "tests/test_machine_owners_properties.py",
        *long,
        *session.posargs,
    )


@nox.session
def soak(session: nox.Session) -> None:
    """10,000 increments by four processes of 25 tasks, for each store that processes share; on
    MariaDB 2,000; and, on Redis, 200 by waiters of whom none is woken; and on a
    PostgreSQL of the tests' own, whose connections are ended for a minute. Other database servers
    where the environment names them."""
    install(session, "test")
    session.env["SESSIONTRACKER_SOAK"] = "1"
    tests = [
        "tests/test_processes.py",
        "backends/redis/tests/test_waiting.py",
        "backends/sql/tests/servers/test_increments.py",
        "backends/sql/tests/servers/test_faults.py",
    ]
    session.run("pytest", *tests, "--timeout=0", *session.posargs)


@nox.session
def owners(session: nox.Session) -> None:
    """An owner's limit and log-outs under 64 tasks of four processes, 1,000 times each; and 10,000
    owners for five minutes of the store's clock. On each store that is there."""
    install(session, "test")
    session.env["SESSIONTRACKER_OWNERS"] = "1"
    session.run("pytest", "tests/test_owner_storms.py", "--timeout=0", *session.posargs)


@nox.session
def guesses(session: nox.Session) -> None:
    """1,000,000 made-up secret keys, on each store."""
    install(session, "test")
    session.env["SESSIONTRACKER_GUESSES"] = "1000000"
    session.run("pytest", "tests/test_secret_keys.py", "--timeout=0", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """A minute of each fault of Redis's servers, under load."""
    install(session, "test")
    session.env["SESSIONTRACKER_FAULTS_SECONDS"] = "60"
    session.run("pytest", "backends/redis/tests/test_faults.py", "--timeout=0", *session.posargs)


@nox.session
def typing(session: nox.Session) -> None:
    """mypy and pyright, both strict, over the packages and the tests of the typing."""
    install(session, "typing")
    session.run("mypy")
    session.run("pyright")


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: rules and format."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def arrows(session: nox.Session) -> None:
    """Imports point one way."""
    install(session, "test")
    session.run("pytest", "tests/test_arrows.py", *session.posargs)


@nox.session
def sync(session: nox.Session) -> None:
    """The generated synchronous code is current; with ``-- --write``, it is written anew."""
    session.install(*nox.project.dependency_groups(PROJECT, "sync"))
    mode = [] if "--write" in session.posargs else ["--check"]
    session.run("python", "scripts/generate_sync.py", *mode)


@nox.session
def demo(session: nox.Session) -> None:
    """Several processes pass fifty sessions between them, on one SQLite file."""
    install(session)
    session.install("-e", ".[cli]")
    session.run("python", "examples/interactions/demo.py", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """The conformance kit, against every backend: Redis's and a PostgreSQL on servers of its own,
    other database servers where the environment names them."""
    install(session, "test")
    kit = ["-p", "sessiontracker.testing.plugin", "--pyargs", "sessiontracker.testing"]
    folder = Path(session.create_tmp())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for backend, *options in [
        ["memory"],
        ["file", f"url={folder / 'files'}"],
        ["sql", f"url=sqlite:///{folder / 'sessions.db'}"],
    ]:
        chosen = [word for option in options for word in ("--backend-option", option)]
        session.run("pytest", *kit, "--backend", backend, *chosen, *session.posargs)
    redis = ["--backend", "redis", "--backend-option", "url={url}"]
    for kind, topology in [("valkey", "single"), ("valkey", "cluster"), ("redis", "cluster")]:
        servers = ["python", "scripts/with_redis.py", kind, topology]
        session.run(*servers, "pytest", *kit, *redis, *session.posargs)

    sql = ["--backend", "sql", "--backend-option", "table_prefix=kit_"]
    by_itself = ["python", "scripts/with_postgresql.py", "pytest", *kit, *sql]
    own = ["--backend-option", "url={postgresql}"]
    session.run(*by_itself, *own, *session.posargs)
    for server in ("POSTGRESQL", "MARIADB"):
        url = os.environ.get(f"SESSIONTRACKER_TEST_{server}_URL")
        if url is None:
            session.warn(f"NOT on {server}: SESSIONTRACKER_TEST_{server}_URL is not set")
        else:
            session.run("pytest", *kit, *sql, "--backend-option", f"url={url}", *session.posargs)
    # Locks in one store and sessions in another
    apart = ["--backend-locking", "redis", "--backend-locking-option", "url={url}"]
    apart += ["-k", "async_tracker or sync_tracker"]
    servers = ["python", "scripts/with_redis.py", "valkey"]
    sqlite = ["--backend-option", f"url=sqlite:///{folder / 'locked-elsewhere.db'}"]
    session.run(*servers, "cluster", "pytest", *kit, *sql, *sqlite, *apart, *session.posargs)
    session.run(*servers, "single", *by_itself, *own, *apart, *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """The ratios, each pair interleaved in one run."""
    install(session, "benchmarks")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Each distribution builds, installs and imports from its wheel; the core also alone."""
    session.install("build", "hatchling", "virtualenv")
    temporary = Path(session.create_tmp()).resolve()
    shutil.rmtree(temporary, ignore_errors=True)
    built = [build(session, folder, temporary / "dist") for folder in [".", *BACKENDS]]
    core = built[0]
    try_wheels(session, temporary, [str(core)], "sessiontracker", "--without-extras")
    try_wheels(session, temporary, [f"{core}[cli,testing]"], "sessiontracker")
    for wheel in built[1:]:
        package = wheel.name.split("-")[0]
        try_wheels(session, temporary, [str(core), str(wheel)], package)


def build(session: nox.Session, folder: str, into: Path) -> Path:
    """The wheel of the distribution in ``folder``, built from its sdist."""
    before = set(into.glob("*.whl"))
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(into), folder)
    (wheel,) = set(into.glob("*.whl")) - before
    return wheel


def try_wheels(session: nox.Session, temporary: Path, wheels: list[str], *checks: str) -> None:
    """Install ``wheels`` into a fresh environment, away from the sources, and check them."""
    script = Path("scripts/check_installed.py").resolve()
    environment = temporary / "environment"
    session.run("python", "-m", "virtualenv", "--clear", "--quiet", str(environment))
    python = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
    with session.chdir(temporary):
        session.run(python, "-m", "pip", "install", "--quiet", *wheels, external=True)
        session.run(python, "-I", str(script), *checks, external=True)
