"""A study in words: what was asked, what came of each trial, what was chosen, what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.config import arithmetic_of
from bench.files import write_text
from bench.printable import printable
from bench.tables.cells import duration
from bench.tables.layout import Grid
from bench.tables.markdown import escaped, lines_of
from bench.tuning.figures import draw_history, draw_importance
from bench.tuning.tried import GUARD, best

if TYPE_CHECKING:
    from bench.tuning.plan import Plan, Tuned
    from bench.tuning.tried import Tried


def write_report(found: Tuned, planned: Plan) -> None:
    """Write study.md and its pictures to the study's folder."""
    draw_history(found.tried, planned.rule.name, found.folder / "history.png")
    if found.importance:
        draw_importance(found.importance, found.folder / "importance.png")
    write_text(found.folder / "study.md", _markdown(found, planned))


def _markdown(found: Tuned, planned: Plan) -> str:
    rule, asked = planned.rule, planned.asked
    blocks = [f"# Study {_said(planned.name)}"]
    if rule.looks_at_target_labels:
        blocks.append(
            "> **Not a fair search: trials were judged by the target's test labels. An upper"
            " bound.**"
        )
    seconds = sum(trial.seconds for trial in found.tried)
    states = (("complete", "finished"), ("pruned", "stopped early"), ("failed", "failed"))
    ends = ", ".join(f"{_count(found, state)} {word}" for state, word in states)
    seeds = ", ".join(map(str, asked["seeds"]))
    fixed = "".join(f", {key}={value}" for key, value in asked["settings"].items())
    arithmetic = f", {arithmetic_of(asked)}" if "precision" in asked else ""
    facts = [
        f"Method {planned.row.loaded.name}, preset {asked['preset']}{fixed}{arithmetic}",
        f"Shifts {', '.join(found.shifts)}; seeds {seeds}",
        f"Judged by {rule.name} at the end of training, ranked in each shift and seed",
        f"Eligible: within {100 * GUARD:.0f} points of the best accuracy on held-out source images",
        f"{len(found.tried)} trials: {ends}",
        f"Cost: {sum(t.steps for t in found.tried):,} training steps, {duration(seconds)}",
        _chosen(found),
    ]
    blocks.append("\n".join(f"- {_said(fact)}" for fact in facts))
    blocks += ["## Trials", _unlinked(lines_of(_grid(found.tried, sorted(planned.space))))]
    reasons = [f"- {t.number}: {_said(t.reason)}" for t in found.tried if t.reason]
    if reasons:
        blocks.append("\n".join(reasons))
    blocks.append("![The mean score of each trial](history.png)")
    if found.importance:
        blocks.append("![How much each hyperparameter mattered](importance.png)")
    return "\n\n".join(blocks) + "\n"


def _count(found: Tuned, state: str) -> int:
    return sum(trial.state == state for trial in found.tried)


def _chosen(found: Tuned) -> str:
    chosen = best(found.tried)
    if chosen is None:
        return "Chosen: none, because no trial is eligible"
    return f"Chosen: trial {chosen.number}"


def _grid(tried: list[Tried], names: list[str]) -> Grid:
    runs = list(dict.fromkeys(run for trial in tried for run in trial.scores))
    head = ("Trial", "State", "Mean rank", *runs, "Source accuracy", *names, "Steps")
    rows = [
        (
            str(trial.number),
            trial.state if trial.eligible or trial.state != "complete" else "fails the guard",
            "" if trial.rank is None else f"{trial.rank:.1f}",
            *(f"{trial.scores[run]:.4f}" if run in trial.scores else "" for run in runs),
            _percent(trial),
            *(_short(trial.settings.get(name)) for name in names),
            f"{trial.steps:,}",
        )
        for trial in tried
    ]
    return Grid("rlr" + "r" * (len(head) - 3), head, rows)


def _percent(trial: Tried) -> str:
    values = list(trial.source_accuracy.values())
    return f"{100 * sum(values) / len(values):.1f}" if values else ""


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else _in_a_line(str(value))


def _said(text: str) -> str:
    return _unlinked(escaped(_in_a_line(text)))


def _in_a_line(text: str) -> str:
    """Return a text without line feeds, which would end a row of a table."""
    return printable(" ".join(text.split()))


def _unlinked(markdown: str) -> str:
    """Keep names from becoming links; there are no others in what this is for."""
    return markdown.replace("[", "\\[")
