"""What is seen while it runs: a live picture in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from handlers import STEPS
from processes import Pending, Worker
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

STYLES = {"holds": "bold green", "works": "cyan", "waits": "yellow"}
LEGEND = Text.from_markup(
    "order, steps, version; which process "
    "[bold green]holds[/] its lock, [cyan]works[/] without, [yellow]waits[/]",
    style="dim",
)
NEWS = 5  # lines
CELL = 15  # columns
EVERY = 2.0  # s between lines on progress


@dataclass
class Progress:
    """How far an interaction is."""

    order: str
    steps: int = 0
    version: int = 0


class Screen:
    """Plain lines: one for each piece of news, and one now and then on progress."""

    def __init__(self, interactions: Sequence[Progress], workers: Sequence[Worker]) -> None:
        self._interactions = interactions
        self._workers = workers
        self._began = self._shown = monotonic()

    def tell(self, news: str) -> None:
        """Something happened that is worth a line."""
        print(self._timed(news), flush=True)

    def refresh(self) -> None:
        """Time has passed."""
        if self._workers and monotonic() - self._shown >= EVERY:
            self._shown = monotonic()
            self.tell(self._progress())

    def close(self) -> None:
        """Nothing more will be shown."""

    def _timed(self, text: str) -> str:
        return f"{monotonic() - self._began:5.1f} s  {text}"

    def _progress(self) -> str:
        done = sum(progress.steps for progress in self._interactions)
        return f"{done} of {len(self._interactions) * len(STEPS)} steps done"


class _LiveScreen(Screen):
    """A picture in the terminal: every order, every process, the latest news."""

    def __init__(
        self, console: Console, interactions: Sequence[Progress], workers: Sequence[Worker]
    ) -> None:
        super().__init__(interactions, workers)
        self._news: deque[str] = deque(maxlen=NEWS)
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def tell(self, news: str) -> None:
        self._news.append(self._timed(news))

    def refresh(self) -> None:
        cells = [self._cell(progress) for progress in self._interactions]
        self._live.update(
            Group(
                Columns(cells, padding=(0, 1, 0, 0)),
                LEGEND,
                self._processes(),
                *(Text(line, no_wrap=True, overflow="ellipsis") for line in self._news),
                Text(self._timed(self._progress()), style="bold"),
            ),
            refresh=True,
        )

    def close(self) -> None:
        self.refresh()
        self._live.stop()

    def _cell(self, progress: Progress) -> Text:
        """An order: ``07 ▰▰▰▱▱ v3 A`` and, after a holder, who waits."""
        is_over = progress.steps == len(STEPS)
        bar = "▰" * progress.steps + "▱" * (len(STEPS) - progress.steps)
        cell = Text(f"{_number(progress.order)} {bar} v{progress.version} ")
        cell.stylize("green" if is_over else "dim" if not progress.steps else "")
        pending = sorted(
            (pending.latest.state, worker.name)
            for worker in self._workers
            for pending in _of_order(worker, progress.order)
        )
        for state, name in pending:
            cell.append(name, style=STYLES[state])
        cell.align("left", CELL)
        return cell

    def _processes(self) -> Table:
        table = Table(box=None, padding=(0, 1), header_style="dim")
        for heading in ("process", "pid", "handled", "holds the locks of", "waits for"):
            table.add_column(heading, no_wrap=True, overflow="ellipsis")
        for worker in self._workers:
            if worker.killed:
                table.add_row(worker.name, "killed", f"{worker.handled}", style="red")
                continue
            numbers = {
                state: " ".join(
                    _number(pending.delivery.click.order)
                    for pending in worker.pending.values()
                    if pending.latest.state == state
                )
                for state in STYLES
            }
            table.add_row(
                worker.name,
                f"{worker.pid}",
                f"{worker.handled}",
                Text(numbers["holds"], style=STYLES["holds"]),
                Text(numbers["waits"], style=STYLES["waits"]),
            )
        return table


def _of_order(worker: Worker, order: str) -> Iterator[Pending]:
    return (p for p in worker.pending.values() if p.delivery.click.order == order)


def _number(order: str) -> str:
    return order.removeprefix("order-")


def open_screen(interactions: Sequence[Progress], workers: Sequence[Worker]) -> Screen:
    """A live picture if standard output is a terminal, plain lines otherwise."""
    console = Console()
    if console.is_terminal:
        return _LiveScreen(console, interactions, workers)
    return Screen(interactions, workers)
