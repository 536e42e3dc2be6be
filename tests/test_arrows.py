"""Imports point one way: tracker → batching → contract → operations, and nowhere back."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = "sessiontracker"
BACKENDS = sorted(ROOT.glob("backends/*/sessiontracker_*"))

# A module, and all of ours that may be loaded because of it. "~" stands for _async and _sync.
BENEATH = {
    "errors": set[str](),
    "operations": {"errors"},
    "keys": {"errors"},
    "state": {"operations", "errors"},
    "machine.rules": {"state", "operations", "errors"},
    "machine.sessions": {"machine.rules", "state", "operations", "errors"},
    "machine": {f"machine.{part}" for part in ("rules", "sessions", "locks", "owners")}
    | {"state", "operations", "errors"},
    "contract": {"operations", "errors"},
    "~.runtime": {"contract", "operations", "errors"},
    "~.wakes": {"~.runtime", "contract", "operations", "errors"},
    "~.batching": {"~.runtime", "contract", "operations", "errors"},
}

# A module, and who alone may import it.
ONLY_FOR = {
    "~.tracker": ("", "~", "cli", "testing"),
    "cli": ("cli", "__main__"),
    "testing": ("testing",),
}

# A distribution, who of the core may import it, and whether only inside a function.
DISTRIBUTIONS = {
    "msgspec": (("",), False),
    "pluggy": (("hookspecs", "plugins"), False),
    "rich": (("cli",), False),
    "pydantic": (("",), True),
    "attrs": (("",), True),
    "attr": (("",), True),
    "pytest": (("testing",), False),
    "_pytest": (("testing",), False),
}


class Import(NamedTuple):
    """One imported module, or name of a module, as its full dotted name."""

    name: str
    line: int
    lazy: bool  # inside a function
    typing: bool  # under TYPE_CHECKING


def imports_of(tree: ast.AST, package: str) -> Iterator[Import]:
    """What ``tree``, a module directly in ``package``, imports."""

    def visit(node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, lazy, typing)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield Import(".".join([*base, alias.name]), node.lineno, lazy, typing)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for checked in node.body:
                yield from visit(checked, lazy, True)
            for otherwise in node.orelse:
                yield from visit(otherwise, lazy, typing)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside, typing)

    yield from visit(tree, False, False)


@cache
def modules(package: Path) -> dict[str, tuple[Import, ...]]:
    """The modules of ``package`` by name within it ("" is its ``__init__``), with their imports."""
    found: dict[str, tuple[Import, ...]] = {}
    for path in sorted(package.rglob("*.py")):
        inner = path.relative_to(package).with_suffix("").parts
        parents = ".".join([package.name, *inner[:-1]])
        name = ".".join(inner[:-1] if inner[-1] == "__init__" else inner)
        found[name] = tuple(imports_of(ast.parse(path.read_text()), parents))
    return found


def own(imported: Import, package: Path) -> str | None:
    """The imported module by its name within ``package``; None if it is not of it."""
    if imported.name.split(".")[0] != package.name:
        return None
    inner = imported.name.split(".")[1:]
    while inner and ".".join(inner) not in modules(package):
        inner.pop()
    return ".".join(inner)


def core() -> dict[str, tuple[Import, ...]]:
    return modules(ROOT / CORE)


def graph() -> dict[str, set[str]]:
    """Who imports whom in the core, at run time."""
    return {
        name: {
            target
            for imported in imports
            if not imported.typing and (target := own(imported, ROOT / CORE)) is not None
        }
        - {name}
        for name, imports in core().items()
    }


def loaded(name: str) -> set[str]:
    """All of the core that is loaded because of ``name``, but for empty parents and itself."""
    arrows, seen, ahead = graph(), {name}, [name]
    while ahead:
        more = arrows[ahead.pop()] - seen
        seen |= more
        ahead += more
    return seen - {name}


def stands(name: str, places: tuple[str, ...]) -> bool:
    """Whether ``name`` is one of ``places`` or within one."""
    return any(name == place or (place and name.startswith(f"{place}.")) for place in places)


def on_both_sides(name: str) -> list[str]:
    return [name.replace("~", side) for side in ("_async", "_sync")] if "~" in name else [name]


def expand(table: dict[str, set[str]]) -> list[Any]:
    return [
        pytest.param(module, {on_this_side(name, module) for name in beneath}, id=module)
        for entry, beneath in table.items()
        for module in on_both_sides(entry)
    ]


def on_this_side(name: str, module: str) -> str:
    return name.replace("~", module.partition(".")[0])


@pytest.mark.parametrize("name,beneath", expand(BENEATH))
def test_a_module_loads_only_what_is_beneath_it(name: str, beneath: set[str]) -> None:
    assert loaded(name) <= beneath


@pytest.mark.parametrize("side", ["_async", "_sync"])
def test_the_contract_and_the_backends_of_the_core_load_no_tracker(side: str) -> None:
    above = {f"{side}.tracker", f"{side}.batching", "plugins"}
    for name in ("backend", "memory", "file"):
        assert not loaded(name) & above, name


def test_nothing_is_imported_in_a_circle() -> None:
    order = list(TopologicalSorter(graph()).static_order())
    assert order.index("operations") < order.index("machine")


@pytest.mark.parametrize("name", sorted(ONLY_FOR))
def test_what_is_on_top_is_imported_from_there_alone(name: str) -> None:
    places = tuple(place for entry in ONLY_FOR[name] for place in on_both_sides(entry))
    wanted = on_both_sides(name)
    wrong = {
        importer
        for importer, targets in graph().items()
        if any(stands(target, tuple(wanted)) for target in targets) and not stands(importer, places)
    }
    assert not wrong


def test_the_two_sides_do_not_know_each_other() -> None:
    for here, there in (("_async", "_sync"), ("_sync", "_async")):
        for name in core():
            if stands(name, (here,)):
                assert not [other for other in loaded(name) if stands(other, (there,))], name


def test_asyncio_stays_in_the_runtime_of_the_asynchronous_side() -> None:
    wrong = {
        name
        for name, imports in core().items()
        if stands(name, ("_async", "_sync")) and name != "_async.runtime"
        if any(imported.name.split(".")[0] == "asyncio" for imported in imports)
    }
    assert not wrong


def test_the_core_needs_its_two_distributions_alone() -> None:
    wrong: list[str] = []
    for name, imports in core().items():
        for imported in imports:
            top = imported.name.split(".")[0]
            if imported.typing or top == CORE or top in sys.stdlib_module_names:
                continue
            places, lazily = DISTRIBUTIONS.get(top, ((), False))
            if not (places == ("",) or stands(name, places)) or (lazily and not imported.lazy):
                wrong.append(f"{name}:{imported.line} imports {imported.name}")
    assert not wrong


@pytest.mark.parametrize("package", BACKENDS, ids=lambda path: path.name)
def test_a_backend_imports_the_contract_and_itself(package: Path) -> None:
    wrong = [
        f"{name or '__init__'}:{imported.line} imports {imported.name}"
        for name, imports in modules(package).items()
        for imported in imports
        if imported.name.split(".")[0].startswith(CORE)
        and imported.name.split(".")[0] != package.name
        if not stands(imported.name, (f"{CORE}.backend", f"{CORE}.testing"))
    ]
    assert not wrong


def test_imports_are_read_as_python_reads_them() -> None:
    source = """
from typing import TYPE_CHECKING
from . import keys
from .. import errors
from ..contract import Backend
if TYPE_CHECKING:
    import rich
def load():
    import pydantic
"""
    assert list(imports_of(ast.parse(source), "sessiontracker._async")) == [
        Import("typing.TYPE_CHECKING", 2, False, False),
        Import("sessiontracker._async.keys", 3, False, False),
        Import("sessiontracker.errors", 4, False, False),
        Import("sessiontracker.contract.Backend", 5, False, False),
        Import("rich", 7, False, True),
        Import("pydantic", 9, True, False),
    ]
