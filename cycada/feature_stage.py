"""Equation 5: align the target's scores with the (translated) source's, adversarially."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from cycada.discriminators import ScoreDiscriminator
from cycada.ranges import between, positive
from cycada.schedule import total_steps

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.api import Context, Images, LabeledImages, Stateful

SOURCE, TARGET = 1, 0


@dataclass(frozen=True)
class Feature:
    """Hyperparameters of the feature stage; the defaults are the paper's for digits.

    Attributes:
        epochs: passes over the target images, at most.
        max_steps: an upper bound on the steps; None for no bound.
        batch: images a step from each domain.
        lr: Adam's learning rate for the target network.
        discriminator_lr: Adam's learning rate for the discriminator.
        beta1: Adam's first momentum for both.
        weight_decay: Adam's, for both.
        hidden: width of the discriminator's two hidden layers.
        gate: the target network steps only when the discriminator's accuracy on the batch is
            above this (0..1).
    """

    epochs: int = 200
    max_steps: int | None = None
    batch: int = 128
    lr: float = 1e-5
    discriminator_lr: float = 1e-5
    beta1: float = 0.5
    weight_decay: float = 0.0
    hidden: int = 500
    gate: float = 0.6

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        positive(self, "epochs", "max_steps", "batch", "lr", "discriminator_lr", "hidden")
        between(self, 0, 1, "gate")
        between(self, 0, 0.9999, "beta1")
        between(self, 0, math.inf, "weight_decay")


class Gate:
    """Opens while the discriminator is good enough to teach the target network anything.

    Counts the steps since it last opened; after a whole epoch without one, training has ended.
    """

    def __init__(self, threshold: float, patience: int) -> None:
        """Open above `threshold` (0..1); be `exhausted` after `patience` closed steps in a row."""
        self._threshold = threshold
        self._patience = patience
        self._closed = 0

    def opens(self, accuracy: float) -> bool:
        """Record one accuracy (0..1) and decide."""
        is_open = accuracy > self._threshold
        self._closed = 0 if is_open else self._closed + 1
        return is_open

    @property
    def exhausted(self) -> bool:
        """Whether the gate stayed closed for `patience` steps in a row."""
        return self._closed >= self._patience

    def state_dict(self) -> dict[str, object]:
        """Return the count of closed steps."""
        return {"closed": self._closed}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore the count of closed steps."""
        self._closed = int(state["closed"])  # type: ignore[call-overload]


def adapt_features(
    net: nn.Module,
    reference: nn.Module,
    source: LabeledImages,
    target: Images,
    how: Feature,
    ctx: Context,
) -> None:
    r"""Train `net` so that its scores on the target look like the reference's on the source.

    The discriminator D minimises the cross-entropy of telling reference(x_s) from net(x_t); the
    network minimises -log p(source | net(x_t)), the inverted-label loss of ADDA (Tzeng et al.
    2017, Eq. 9), whenever the gate is open. Behind a closed gate its weights rest, but batch norm
    goes on counting what it sees.

    Args:
        net: the target network f_T, starting as a copy of `reference`.
        reference: the frozen network whose scores on `source` are the model to follow.
        source: the source images as the reference saw them (translated, if a pixel stage ran).
        target: unlabelled target images.
        how: the stage's hyperparameters.
        ctx: the trial's harness.
    """
    n = total_steps(how.epochs, how.max_steps, len(target), how.batch)
    patience = total_steps(1, None, len(target), how.batch)
    discriminator = ScoreDiscriminator(source_classes(reference, source), how.hidden).to(ctx.device)
    betas = (how.beta1, 0.999)
    net_optimizer = torch.optim.Adam(
        net.parameters(), lr=how.lr, betas=betas, weight_decay=how.weight_decay
    )
    d_optimizer = torch.optim.Adam(
        discriminator.parameters(),
        lr=how.discriminator_lr,
        betas=betas,
        weight_decay=how.weight_decay,
    )
    gate = Gate(how.gate, patience)
    state: dict[str, Stateful] = {
        "discriminator": discriminator,
        "net_optimizer": net_optimizer,
        "d_optimizer": d_optimizer,
        "gate": gate,
    }
    net.train()
    for step in ctx.steps(n, state):
        x_s, _ = step.batch(source, how.batch)
        x_t = step.batch(target, how.batch)
        with torch.no_grad():
            scores_s = reference(x_s)
        scores_t = net(x_t)
        loss_d, accuracy = discriminate(discriminator, scores_s, scores_t.detach())
        d_optimizer.zero_grad(set_to_none=True)
        loss_d.backward()
        d_optimizer.step()
        is_open = gate.opens(accuracy)
        if is_open:
            loss_g = fool(discriminator, scores_t)
            net_optimizer.zero_grad(set_to_none=True)
            loss_g.backward()
            net_optimizer.step()
        ctx.log(discriminator_accuracy=accuracy, gate_open=float(is_open))
        if gate.exhausted:
            ctx.stop(f"the gate stayed closed for an epoch of {patience} steps")


def source_classes(reference: nn.Module, source: LabeledImages) -> int:
    """Return the number of scores k that `reference` gives."""
    with torch.no_grad():
        x, _ = source[torch.zeros(1, dtype=torch.int64, device=source.pixels.device)]
        return int(reference(x).shape[1])


def discriminate(
    discriminator: nn.Module, scores_s: Tensor, scores_t: Tensor
) -> tuple[Tensor, float]:
    """Return the discriminator's loss, and its accuracy (0..1) over both halves of the batch."""
    logits = discriminator(torch.cat([scores_s, scores_t]))
    domain = torch.cat(
        [
            torch.full((len(scores_s),), SOURCE, device=logits.device),
            torch.full((len(scores_t),), TARGET, device=logits.device),
        ]
    )
    accuracy = (logits.argmax(1) == domain).float().mean().item()
    return F.cross_entropy(logits, domain), accuracy


def fool(discriminator: nn.Module, scores_t: Tensor) -> Tensor:
    """Return the target network's loss: the cross-entropy of its scores with the label "source"."""
    logits = discriminator(scores_t)
    wanted = torch.full((len(scores_t),), SOURCE, device=logits.device)
    return F.cross_entropy(logits, wanted)
