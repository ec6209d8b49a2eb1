"""Equation 5: align the target's scores with the (translated) source's, adversarially."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from cycada.discriminators import ScoreDiscriminator, SpatialDiscriminator
from cycada.losses import task_loss
from cycada.optimizers import Name, make_optimizer
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
        lr: learning rate of the target network.
        discriminator_lr: learning rate of the discriminator.
        optimizer: "adam" (digits) or "sgd" (driving scenes), for both.
        beta1: Adam's first momentum.
        momentum: of SGD.
        weight_decay: of either.
        crop: height and width of a random window of each image; None takes the whole.
        hidden: width of the discriminator's first hidden layer. On scores (b, k) the second is as
            wide, on score maps half as wide.
        gate: the target network steps only when the discriminator's accuracy is above this (0..1).
        gate_window: steps that the accuracy is averaged over; while there are fewer, all of them.
        shared: the network whose scores on the source are the model to follow is the target
            network itself (driving scenes), not a frozen one (digits).
        gan: weight of the adversarial loss, the released code's lambda_g.
        supervised: weight of the source's own loss, kept while adapting; 0 leaves it out.
    """

    epochs: int = 200
    max_steps: int | None = None
    batch: int = 128
    lr: float = 1e-5
    discriminator_lr: float = 1e-5
    optimizer: Name = "adam"
    beta1: float = 0.5
    momentum: float = 0.99
    weight_decay: float = 0.0
    crop: int | None = None
    hidden: int = 500
    gate: float = 0.6
    gate_window: int = 1
    shared: bool = False
    gan: float = 1.0
    supervised: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        positive(self, "epochs", "max_steps", "batch", "lr", "discriminator_lr", "hidden")
        positive(self, "crop", "gate_window", "gan")
        between(self, 0, 1, "gate")
        between(self, 0, 0.9999, "beta1", "momentum")
        between(self, 0, math.inf, "weight_decay", "supervised")


class Gate:
    """Opens while the discriminator is good enough to teach the target network anything.

    Counts the steps since it last opened; after a whole epoch without one, training has ended.
    """

    def __init__(self, threshold: float, patience: int, window: int = 1) -> None:
        """Open above a mean accuracy of `threshold` (0..1) over the last `window` steps.

        It is `exhausted` after `patience` closed steps in a row.
        """
        self._threshold = threshold
        self._patience = patience
        self._window = window
        self._closed = 0
        self._recent: list[float] = []
        self.has_opened = False

    def opens(self, accuracy: float) -> bool:
        """Record one accuracy (0..1) and decide."""
        self._recent = [*self._recent, accuracy][-self._window :]
        is_open = sum(self._recent) / len(self._recent) > self._threshold
        self._closed = 0 if is_open else self._closed + 1
        self.has_opened = self.has_opened or is_open
        return is_open

    @property
    def exhausted(self) -> bool:
        """Whether the gate stayed closed for `patience` steps in a row."""
        return self._closed >= self._patience

    def state_dict(self) -> dict[str, object]:
        """Return the count of closed steps, the accuracies in the window, and if it opened ever."""
        return {"closed": self._closed, "recent": self._recent, "has_opened": self.has_opened}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore them."""
        self._closed = int(state["closed"])  # type: ignore[call-overload]
        self._recent = list(state["recent"])  # type: ignore[call-overload]
        # A snapshot of an earlier version does not say; a warning must not be made up of that.
        self.has_opened = bool(state.get("has_opened", True))


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
    goes on counting what it sees. For segmentation D decides at every position of the score maps.
    With ``how.shared`` the reference is `net` itself, as it is at the moment.

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
    discriminator = ctx.prepared(build_discriminator(reference, source, how))
    net_optimizer, d_optimizer = (
        make_optimizer(
            how.optimizer,
            part.parameters(),
            lr,
            beta1=how.beta1,
            momentum=how.momentum,
            weight_decay=how.weight_decay,
        )
        for part, lr in ((net, how.lr), (discriminator, how.discriminator_lr))
    )
    gate = Gate(how.gate, patience, how.gate_window)
    state: dict[str, Stateful] = {
        "discriminator": discriminator,
        "net_optimizer": net_optimizer,
        "d_optimizer": d_optimizer,
        "gate": gate,
    }
    net.train()
    for step in ctx.steps(n, state):
        x_s, y_s = step.batch(source, how.batch, how.crop)
        x_t = step.batch(target, how.batch, how.crop)
        with torch.no_grad():
            scores_s = scores(net if how.shared else reference, x_s)
        scores_t = scores(net, x_t)
        loss_d, accuracy = discriminate(discriminator, scores_s, scores_t.detach())
        d_optimizer.zero_grad(set_to_none=True)
        loss_d.backward()
        d_optimizer.step()
        accuracy = ctx.mean(accuracy)
        is_open = gate.opens(accuracy)
        if is_open:
            net_optimizer.zero_grad(set_to_none=True)
            (how.gan * fool(discriminator, scores_t)).backward()
            if how.supervised:
                (how.supervised * task_loss(net(x_s), y_s)).backward()
            net_optimizer.step()
        ctx.log(discriminator_accuracy=accuracy, gate_open=float(is_open))
        if gate.exhausted:
            ctx.stop(f"the gate stayed closed for an epoch of {patience} steps")
    if not gate.has_opened:
        ctx.warn(
            "gate never opened",
            f"the discriminator's accuracy was never above {how.gate:g}, so the target network"
            " stayed what it was",
        )


def scores(net: nn.Module, x: Tensor) -> Tensor:
    """Return the network's scores: (b, k), or score maps (b, k, h', w').

    Score maps are as large as the images, padded to the network's stride.
    """
    logits: Tensor = net.classify(net.features(x))  # type: ignore[operator]
    return logits


def build_discriminator(reference: nn.Module, source: LabeledImages, how: Feature) -> nn.Module:
    """Return the discriminator for the scores, or score maps, that `reference` gives."""
    with torch.no_grad():
        device = next(reference.parameters()).device
        x, _ = source[torch.zeros(1, dtype=torch.int64, device=device)]
        shape = scores(reference, x).shape
    kind = SpatialDiscriminator if len(shape) > 2 else ScoreDiscriminator  # noqa: PLR2004
    return kind(shape[1], how.hidden)


def discriminate(
    discriminator: nn.Module, scores_s: Tensor, scores_t: Tensor
) -> tuple[Tensor, float]:
    """Return the discriminator's loss, and its accuracy (0..1) over both halves of the batch."""
    logits = discriminator(torch.cat([scores_s, scores_t]))
    domain = torch.cat([_domain(scores_s, SOURCE), _domain(scores_t, TARGET)])
    accuracy = (logits.argmax(1) == domain).float().mean().item()
    return F.cross_entropy(logits, domain), accuracy


def fool(discriminator: nn.Module, scores_t: Tensor) -> Tensor:
    """Return the target network's loss: the cross-entropy of its scores with the label "source"."""
    return F.cross_entropy(discriminator(scores_t), _domain(scores_t, SOURCE))


def _domain(scores: Tensor, label: int) -> Tensor:
    """Return `label` for each decision: (b,) for scores (b, k), (b, h, w) for score maps."""
    shape = (len(scores), *scores.shape[2:])
    return torch.full(shape, label, device=scores.device)
