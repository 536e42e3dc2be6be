"""The pytest plugin: which backend is tested, and how.

    pytest -p sessiontracker.testing.plugin --pyargs sessiontracker.testing \\
        --backend NAME --backend-option url=…
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Literal, cast

import pytest

from ..contract import Capability
from ..errors import ConfigurationError, SessionTrackerError
from ..operations import Address
from .harness import Mode, Store, new_address
from .report import DETECTED, Report
from .subject import DEFAULT_TICK, Subject, parse_options

_SUBJECT = pytest.StashKey[Subject]()
_LOCKING = pytest.StashKey[Subject]()
_REPORT = pytest.StashKey[Report]()
_SEED = pytest.StashKey[int]()
_SEED_OF_ALL = "sessiontracker_seed"

_ROLES = {"store": ["storage"], "locks": ["locking"], "both": ["storage", "locking"]}
"""The roles that a test needs, by the fixture that it asks for."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sessiontracker", "conformance of a sessiontracker backend")
    group.addoption("--backend", metavar="NAME", help="the backend to test, as in `use = NAME`")
    group.addoption(
        "--backend-option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of the backend, as in its [backends.…]; may be repeated",
    )
    group.addoption(
        "--backend-locking",
        metavar="NAME",
        help="another backend, which keeps the locks of the tests that use a tracker",
    )
    group.addoption("--backend-locking-option", metavar="KEY=VALUE", action="append", default=[])
    group.addoption("--mode", choices=("async", "sync", "both"), default="both")
    group.addoption("--seed", type=int, help="of the random walks; it is told at the end")
    group.addoption(
        "--walks", type=int, default=12, metavar="N", help="how many random walks (%(default)s)"
    )
    group.addoption(
        "--tick",
        type=int,
        default=DEFAULT_TICK,
        metavar="MS",
        help="the unit of times that really pass (%(default)s); longer on a busy machine",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(capability): what a backend must declare for this")
    config.addinivalue_line("markers", "modes(*modes): in which of the two modes this is asked")
    config.addinivalue_line("markers", "roles(*roles): the roles that a backend must play for this")
    config.stash[_REPORT] = Report()
    config.pluginmanager.register(_Detected(config.stash[_REPORT]), "sessiontracker detected")
    config.stash[_SEED] = _chosen_seed(config)
    tick = cast("int", config.getoption("--tick"))
    for option, key in (("--backend", _SUBJECT), ("--backend-locking", _LOCKING)):
        name = config.getoption(option)
        if name is None:
            continue
        try:
            options = parse_options(cast("list[str]", config.getoption(f"{option}-option")))
            config.stash[key] = Subject.found(name, options, tick)
        except ConfigurationError as error:
            raise pytest.UsageError(f"{option} {name}: {error}") from error


def _chosen_seed(config: pytest.Config) -> int:
    """As told; by the process that started this one, if xdist did; or else a new one."""
    told = cast("int | None", config.getoption("--seed"))
    if told is None:
        told = cast("dict[str, int]", getattr(config, "workerinput", {})).get(_SEED_OF_ALL)
    return random.SystemRandom().getrandbits(32) if told is None else told


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[_SEED_OF_ALL] = node.config.stash[_SEED]


def _subject(config: pytest.Config) -> Subject:
    try:
        return config.stash[_SUBJECT]
    except KeyError:
        raise pytest.UsageError("say which backend to test: --backend NAME") from None


def _modes(config: pytest.Config) -> list[Mode]:
    chosen = cast("Mode | Literal['both']", config.getoption("--mode"))
    return ["async", "sync"] if chosen == "both" else [chosen]


def _try_to_open(subject: Subject, modes: list[Mode]) -> None:
    """Say once, and before all tests, that the backend cannot be used."""
    for mode in modes:
        try:
            subject.open(mode).close()
        except SessionTrackerError as error:
            raise pytest.UsageError(f"--backend {subject.name} ({mode}): {error}") from error


# Which tests are asked -------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mode" in metafunc.fixturenames:
        modes = _modes(metafunc.config)
        for marker in metafunc.definition.iter_markers("modes"):
            modes = [mode for mode in modes if mode in marker.args]
        metafunc.parametrize("mode", modes)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not any("subject" in _fixtures(item) for item in items):
        return
    subject = _subject(config)
    _try_to_open(subject, _modes(config))
    report = config.stash[_REPORT]
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        want = _wanting(subject, item)
        if want is None:
            kept.append(item)
        else:
            left_out.append(item)
            report.left_out[want] = report.left_out.get(want, 0) + 1
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _fixtures(item: pytest.Item) -> list[str]:
    return cast("list[str]", getattr(item, "fixturenames", []))


def _wanting(subject: Subject, item: pytest.Item) -> str | None:
    """What the backend lacks for ``item``."""
    roles = [role for name in _fixtures(item) for role in _ROLES.get(name, [])]
    for marker in item.iter_markers("roles"):
        roles += marker.args
    played = {"storage": subject.storage, "locking": subject.locking}
    for role in roles:
        if played[role] is None:
            return f"the role {role}"
    for marker in item.iter_markers("needs"):
        for capability in cast("tuple[Capability, ...]", marker.args):
            if capability not in subject.capabilities:
                return f"the capability {capability}"
    return None


# What tests ask for ----------------------------------------------------------


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Subject:
    """The backend under test."""
    return _subject(pytestconfig)


@pytest.fixture(scope="session")
def locking_subject(pytestconfig: pytest.Config) -> Subject | None:
    """The backend that keeps the locks, if that is another."""
    return pytestconfig.stash.get(_LOCKING, None)


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    return pytestconfig.stash[_SEED]


@pytest.fixture(scope="session")
def walks(pytestconfig: pytest.Config) -> int:
    return cast("int", pytestconfig.getoption("--walks"))


@pytest.fixture
def any_role(subject: Subject, mode: Mode) -> Iterator[Store]:
    """An open store, whatever roles it plays."""
    store = subject.open_for_test(mode)
    yield store
    store.close()


@pytest.fixture
def store(any_role: Store) -> Store:
    """An open store that keeps sessions."""
    return any_role


@pytest.fixture
def locks(any_role: Store) -> Store:
    """An open store that keeps locks."""
    return any_role


@pytest.fixture
def both(any_role: Store) -> Store:
    """An open store that keeps sessions and their locks, in one step."""
    return any_role


@pytest.fixture
def address() -> Address:
    """Where no test has been before."""
    return new_address()


# What is told ----------------------------------------------------------------


class _Detected:
    """Collects what the tests of capabilities found out, in whichever process they ran."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            for name, value in report.user_properties:
                if name == DETECTED:
                    mode, capability, has = cast("tuple[Mode, str, bool]", value)
                    self._report.detected[mode, Capability(capability)] = has


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    subject = config.stash.get(_SUBJECT, None)
    if subject is None:
        return
    terminalreporter.section(f"sessiontracker conformance: {subject.name}")
    for line in config.stash[_REPORT].lines(subject, config.stash[_SEED]):
        terminalreporter.write_line(line)
