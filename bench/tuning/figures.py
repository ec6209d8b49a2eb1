"""Pictures of a study: how its trials went, and which hyperparameters mattered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.canvas import INK, QUIET
from bench.files import atomic_path
from bench.tuning.tried import best

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.tuning.tried import Tried

BLUE, ORANGE = "#1f6feb", "#d97706"


def draw_history(tried: Sequence[Tried], rule: str, path: Path) -> None:
    """Draw each trial's mean score in the order of trials, and what became of the others.

    Finished trials are dots, those that the guard rules out crosses; the chosen one is ringed.
    Stopped and failed ones stand along the lower edge.
    """
    figure, axes = _paper(4.0)
    done = {t.number: t.value for t in tried if t.value is not None}
    eligible = [trial.number for trial in tried if trial.eligible]
    kinds = (
        ("finished", eligible, "o", BLUE),
        ("fails the guard", sorted(done.keys() - set(eligible)), "x", ORANGE),
    )
    for label, numbers, marker, colour in kinds:
        if numbers:
            values = [done[number] for number in numbers]
            axes.plot(numbers, values, marker, color=colour, label=label)
    chosen = best(tried)
    if chosen is not None:
        place = ([chosen.number], [done[chosen.number]])
        axes.plot(*place, "o", markersize=13, fillstyle="none", color=INK, label="chosen")
    for label, state, marker in (("stopped early", "pruned", "|"), ("failed", "failed", "X")):
        numbers = [trial.number for trial in tried if trial.state == state]
        if numbers:
            edge = axes.get_xaxis_transform()
            low = [0.03] * len(numbers)
            axes.plot(numbers, low, marker, color=QUIET, transform=edge, label=label)
    axes.margins(y=0.15)  # room for those along the lower edge
    axes.set_xlabel("trial")
    axes.set_ylabel(f"mean {rule} at the end of training")
    axes.set_xlim(-0.5, max((t.number for t in tried), default=0) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="best")
    _save(figure, path)


def draw_importance(shares: Mapping[str, float], path: Path) -> None:
    """Draw the share of each hyperparameter as a bar, the largest on top."""
    names = sorted(shares, key=lambda name: shares[name])
    figure, axes = _paper(1.2 + 0.35 * len(names))
    bars = axes.barh(names, [100 * shares[name] for name in names], color=BLUE, height=0.6)
    axes.bar_label(bars, fmt="%.0f", padding=4, color=INK)
    axes.set_xlabel("share of the variance between finished trials, per cent")
    axes.set_xlim(0, 110)
    _save(figure, path)


def _paper(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.0, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
