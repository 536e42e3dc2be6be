"""The pytest plugin: which backend is tested, and how.

    pytest -p sessiontracker.testing.plugin --pyargs sessiontracker.testing \\
        --backend NAME --backend-option url=…
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from typing import Any, Literal, cast

import pytest
from _pytest.runner import runtestprotocol

from ..contract import Capability
from ..errors import ConfigurationError, SessionTrackerError
from ..operations import Address
from .harness import Mode, Store, TooSlowError, new_address
from .report import DETECTED, Report
from .subject import DEFAULT_TICK, Subject, parse_options

_SUBJECT = pytest.StashKey[Subject]()
_LOCKING = pytest.StashKey[Subject]()
_REPORT = pytest.StashKey[Report]()
_SEED = pytest.StashKey[int]()
_DISTURBED = pytest.StashKey[bool]()
_TRIES = 5
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
        help="an option of the backend, as in its [backends.…]; may be repeated; {worker} in it is "
        "the name of xdist's worker",
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
        help="the unit of times that really pass (%(default)s), at first: a busy machine has more",
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
            pairs = cast("list[str]", config.getoption(f"{option}-option"))
            options = parse_options([pair.replace("{worker}", _worker(config)) for pair in pairs])
            config.stash[key] = Subject.found(name, options, tick)
        except ConfigurationError as error:
            raise pytest.UsageError(f"{option} {name}: {error}") from error


def _worker(config: pytest.Config) -> str:
    """Which of xdist's workers this is."""
    return cast("dict[str, str]", getattr(config, "workerinput", {})).get("workerid", "main")


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


# A busy machine ---------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A test of times that really pass, which this machine was too slow for, says nothing of the
    backend: it is asked again, with a longer tick."""
    if "subject" not in _fixtures(item):
        return None
    subject = _subject(item.config)
    about = {"nodeid": item.nodeid, "location": item.location}
    item.ihook.pytest_runtest_logstart(**about)
    tick, tries = subject.tick, 0
    while True:
        item.stash[_DISTURBED] = False
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        tries += 1
        if not item.stash[_DISTURBED] or tries == _TRIES:
            break
        subject.tick *= 2
    subject.tick = tick
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(**about)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.excinfo is not None and "subject" in _fixtures(item):
        asked = cast("dict[str, object]", getattr(item, "funcargs", {})).values()
        item.stash[_DISTURBED] = call.excinfo.errisinstance(TooSlowError) or any(
            store.was_disturbed for store in asked if isinstance(store, Store)
        )
    return (yield)


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
