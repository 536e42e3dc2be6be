"""Write each ``_sync`` package from its ``_async`` twin, or ``--check`` that it is current.

unasyncd takes the ``async`` and ``await`` out of the code. Before it, this script
takes them out of names, strings and comments; after it, ruff sorts the imports, drops
those that nothing uses any more, and formats. CONTRIBUTING.md says what the
asynchronous source must keep to.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import libcst as cst
from unasyncd.transformers import TreeTransformer

ROOT = Path(__file__).resolve().parent.parent
BY_HAND = {"runtime.py", "sending.py", "wire.py"}

# Of the standard library: unasyncd renames these itself, imports and all.
STANDARD = "Iterator|Iterable|Generator|ExitStack"
PREFIX = re.compile(rf"\b(_?)Async(?=[A-Z])(?!(?:{STANDARD})\b)")
KEYWORDS = re.compile(r"\bawait |\basync (?=def\b|for\b|with\b)")
ADJECTIVE = re.compile(r"\b([Aa]n )?([Aa])synchronous")
PACKAGE = re.compile(r"\b_async\b")

REPLACEMENTS = {
    "contextlib.aclosing": "contextlib.closing",
    "contextlib.AbstractAsyncContextManager": "contextlib.AbstractContextManager",
    "aclose": "close",
}

# unasyncd drops from ``__all__`` whatever the module does not import: it must not see it.
EXPORTS, HIDDEN = "__all__", "__exports__"


class Words(cst.CSTTransformer):
    """Takes the asynchronous out of names (``AsyncX`` is ``X``), strings and comments."""

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        name = HIDDEN if updated_node.value == EXPORTS else updated_node.value
        return updated_node.with_changes(value=_renamed(name))

    def leave_SimpleString(
        self, original_node: cst.SimpleString, updated_node: cst.SimpleString
    ) -> cst.SimpleString:
        return updated_node.with_changes(value=_reworded(updated_node.value))

    def leave_FormattedStringText(
        self, original_node: cst.FormattedStringText, updated_node: cst.FormattedStringText
    ) -> cst.FormattedStringText:
        return updated_node.with_changes(value=_reworded(updated_node.value))

    def leave_Comment(self, original_node: cst.Comment, updated_node: cst.Comment) -> cst.Comment:
        return updated_node.with_changes(value=_reworded(updated_node.value))


def _renamed(text: str) -> str:
    return PACKAGE.sub("_sync", PREFIX.sub(r"\1", text))


def _reworded(text: str) -> str:
    return ADJECTIVE.sub(_synchronous, KEYWORDS.sub("", _renamed(text)))


def _synchronous(found: re.Match[str]) -> str:
    article, letter = found.groups()
    word = "Synchronous" if letter == "A" else "synchronous"
    return f"{article[0]} {word}" if article else word


def generate(source: Path) -> str:
    """The synchronous twin of the asynchronous module ``source``."""
    words = cst.parse_module(source.read_text()).visit(Words()).code
    code = TreeTransformer(transform_docstrings=False, extra_name_replacements=REPLACEMENTS)(words)
    origin, script = source.relative_to(ROOT).as_posix(), Path(__file__).name
    note = f"# Generated from {origin} by scripts/{script}: edit that.\n"
    target = _target(source)
    text = note + code.replace(HIDDEN, EXPORTS)
    text = _ruff(target, text, "check", "--fix", "--fix-only")
    return _ruff(target, text, "format")


def _ruff(target: Path, text: str, *command: str) -> str:
    arguments = [sys.executable, "-m", "ruff", *command, "--quiet", "--no-cache"]
    return subprocess.run(
        [*arguments, "--stdin-filename", str(target), "-"],
        input=text,
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def _target(source: Path) -> Path:
    return source.parent.parent / "_sync" / source.name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    check = parser.parse_args().check
    packages = [ROOT / "sessiontracker", *ROOT.glob("backends/*/sessiontracker_*")]
    stale: list[Path] = []
    for package in packages:
        wanted = {
            _target(source): generate(source)
            for source in sorted(package.glob("_async/*.py"))
            if source.name not in BY_HAND
        }
        for target in package.glob("_sync/*.py"):
            if target not in wanted and target.name not in BY_HAND:
                stale.append(target)
                if not check:
                    target.unlink()
        for target, text in wanted.items():
            if target.exists() and target.read_text() == text:
                continue
            stale.append(target)
            if not check:
                target.parent.mkdir(exist_ok=True)
                target.write_text(text)
    for target in stale:
        print(f"{'stale' if check else 'written'}: {target.relative_to(ROOT)}")
    if check and stale:
        print("run: nox -s sync -- --write")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
