"""A backend declares what it can do: no more, and no less."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..contract import API_VERSION, Capability
from .capabilities import detect
from .harness import Mode, Store
from .report import DETECTED
from .subject import Subject


@pytest.mark.parametrize("capability", list(Capability), ids=str)
def test_it_declares_what_it_has_and_nothing_else(
    subject: Subject,
    mode: Mode,
    capability: Capability,
    record_property: Callable[[str, object], None],
) -> None:
    if capability in (Capability.SCAN, Capability.OWNERS) and subject.storage is None:
        assert capability not in subject.capabilities, "a backend that keeps no sessions lists none"
        return
    if capability is Capability.FAIR and subject.locking is None:
        assert capability not in subject.capabilities, "a backend that keeps no locks is not fair"
        return
    has = detect(subject, mode, capability)
    record_property(DETECTED, (mode, str(capability), has))
    if capability in subject.capabilities:
        assert has, f"it declares {capability.name} and does not have it"
    else:
        assert not has, f"it has {capability.name} and does not declare it"


def test_both_roles_of_one_name_declare_the_same(subject: Subject, mode: Mode) -> None:
    assert len({plugin.capabilities for plugin in subject.plugins}) == 1
    assert {plugin.name for plugin in subject.plugins} == {subject.name}
    assert {plugin.api_version for plugin in subject.plugins} == {API_VERSION}


def test_what_it_says_of_itself_makes_sense(any_role: Store) -> None:
    backend = any_role.backend
    assert backend.look_every > 0
    assert backend.lanes >= 1
    assert backend.batch >= 1
