"""One row of a leaderboard, as plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.select import ORACLE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Row:
    """One row of a leaderboard; its fields are the keys of ``--format json``.

    A row with `rule` None stands for a published figure that no run of ours stands beside.

    Attributes:
        suite: the suite's name.
        shift: the shift's name.
        protocol: which images trained and scored; of a published row, the publication's.
        backbone: the task network.
        method: a method's name.
        preset: "paper", "fast", "smoke", or None.
        rule: which checkpoint was scored, or None.
        metric: what `mean` is the mean of: "accuracy", or "miou" for segmentation.
        n: seeds that finished, which `mean`, `std` and `ci95` are taken over.
        planned: seeds that were attempted or planned.
        mean: fraction in 0..1, or None without a finished seed.
        std: sample standard deviation (ddof 1), or None with fewer than two seeds.
        ci95: ends of the 95 % interval of the mean by Student's t, or None likewise.
        published: the published fraction, or None.
        delta: `mean` minus `published` if both were measured alike, else None.
        label: the row's name in tables.
        settings: dotted hyperparameters that differ from the preset.
        weights: the network's initial weights.
        learns_from: "source", or "target" for a supervised upper bound.
        chosen_on_test_labels: whether `rule` looked at them, or the rule of `tuned`.
        steps: mean training steps of a finished seed.
        seconds: mean training wall time of a finished seed; shared stages count in full.
        seeds: the seeds that finished.
        figures: what each of them scored, in their order; `mean` is the mean of these.
        group: letters; methods of a table that share one cannot be told apart, see
            `bench.tables.letters`. "" for a row without a rank, or if nothing can be told.
        failed: seed, status and error of each seed that did not finish.
        devices: where the runs trained.
        threads: with how many threads.
        stages: stage, n, mean and std of each stage's own network, in the order of training.
        published_std: a fraction, or None.
        published_label: the published row's name as printed.
        published_protocol: the publication's protocol.
        published_backbone: its network, "" if it does not say.
        published_weights: that network's initial weights, "" if it does not say.
        published_rule: by which rule its checkpoint was chosen, "unstated" if it does not say.
        published_source: paper and table.
        published_note: what a reader must know about the published figure.
        published_later: whether it is of later work than the paper that the suite follows.
        departure: how the run departs from its method's paper, in a sentence, or None.
        others: mean and std of the other metrics, by name; of segmentation only.
        classes: mean and std of each class' IoU, over the seeds in which it has one; likewise.
        picked: mean and std of the metric with the checkpoint that each rule would have picked;
            empty if the runs kept no scores by rules.
        correlation: by rule, the mean over seeds of Spearman's rank correlation between the
            rule's scores of a run's checkpoints and their figures; None if it is not defined.
        judged: by rule, (score, figure) of the last checkpoint of every finished seed.
        tuned: how a search found `settings` (see `bench.config.RunConfig`), or None.
        published_others: what the publication prints of `others`, fractions.
        published_classes: what it prints of `classes`, fractions.
        arithmetic: "float32", or in what else it trained, see `bench.config.arithmetic_of`.
        events: seed, stage, step, kind and reason of what the runs were warned of while training.
    """

    suite: str
    shift: str
    protocol: str
    backbone: str
    method: str
    preset: str | None
    rule: str | None
    metric: str
    n: int = 0
    planned: int = 0
    mean: float | None = None
    std: float | None = None
    ci95: tuple[float, float] | None = None
    published: float | None = None
    delta: float | None = None
    label: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str = ""
    learns_from: str = "source"
    chosen_on_test_labels: bool = False
    steps: float | None = None
    seconds: float | None = None
    seeds: tuple[int, ...] = ()
    failed: tuple[Mapping[str, Any], ...] = ()
    devices: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    stages: tuple[Mapping[str, Any], ...] = ()
    published_std: float | None = None
    published_label: str | None = None
    published_protocol: str | None = None
    published_backbone: str | None = None
    published_weights: str | None = None
    published_rule: str | None = None
    published_source: str | None = None
    published_note: str | None = None
    published_later: bool = False
    departure: str | None = None
    others: Mapping[str, Mapping[str, float | None]] = dataclasses.field(default_factory=dict)
    classes: Mapping[str, Mapping[str, float | None]] = dataclasses.field(default_factory=dict)
    picked: Mapping[str, Mapping[str, float | None]] = dataclasses.field(default_factory=dict)
    correlation: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    judged: Mapping[str, tuple[tuple[float, float], ...]] = dataclasses.field(default_factory=dict)
    tuned: Mapping[str, Any] | None = None
    published_others: Mapping[str, float] = dataclasses.field(default_factory=dict)
    published_classes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    figures: tuple[float, ...] = ()
    group: str = ""
    arithmetic: str = "float32"
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every seed finished. Without the seeds that failed, a mean flatters."""
        return self.mean is not None and self.n == self.planned

    @property
    def ranked(self) -> bool:
        """Whether it has a place among the methods: a bound and a published figure have none."""
        return self.rule is not None and self.learns_from != "target" and self.complete

    @property
    def tuned_on_test_labels(self) -> bool:
        """Whether the search for the settings looked at them."""
        return self.tuned is not None and self.tuned["rule"] == ORACLE.name

    @property
    def section(self) -> tuple[str, ...]:
        """What the rows of one table have in common."""
        return (
            *(self.shift, self.protocol, self.backbone, self.weights),
            *(self.preset or "", self.rule or "", self.arithmetic),
            "tuned on test labels" if self.tuned_on_test_labels else "",
        )
