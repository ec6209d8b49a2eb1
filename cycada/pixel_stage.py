"""Equations 2 to 4: learn to translate images between the domains."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from cycada.discriminators import PatchDiscriminator
from cycada.image_pool import ImagePool
from cycada.losses import cycle_loss, lsgan
from cycada.ranges import between, positive
from cycada.schedule import hold_then_fall, total_steps
from cycada.semantics import Semantics
from cycada.translator import resize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from bench.api import Context, Task
    from cycada.translator import ImageTranslator


COLLAPSED = 0.01
"""A generator whose translations differ by less than this part of their originals' has collapsed:
of a batch of different images it makes one."""


@dataclass(frozen=True)
class Pixel:
    """Hyperparameters of the pixel stage; the defaults are the paper's for digits.

    Attributes:
        epochs: passes over the larger of the two image sets.
        max_steps: an upper bound on the steps; None for no bound.
        batch: images a step from each domain.
        lr: Adam's learning rate, constant for half of the steps and then falling to zero.
        beta1: Adam's first momentum.
        generator: "resnet" (CycleGAN's) or "unshuffle" (lean; see `cycada.generators`).
        filters: width of the generators.
        blocks: residual blocks of the generators.
        size: height and width at which the generators work; images are resized to it and back.
            None works at the images' own size.
        crop: height and width of a random window of each image to train on; None takes the
            whole.
        discriminator_filters: width of the patch discriminators.
        discriminator_layers: their strided layers.
        gan_source_to_target: weight of Equation 2 for G_ST; 0 switches it off.
        gan_target_to_source: the same for G_TS.
        cycle: weight of Equation 3, both ways; 0 switches it off.
        identity: weight of CycleGAN's identity loss, both ways, which Equation 6 lacks: G_ST leaves
            target images as they are, and G_TS source images (Zhu et al. 2017, section 5.2).
        semantic: "paper": the frozen f_S labels both sides by its argmax (Equation 4).
            "released": a classifier trained along on the source images; true labels for source
            to target, its argmax for target to source, both from the moment its loss is <= 1.
            "cooperative": a departure of ours: the classifier trains on the translated source
            images too, with their true labels, and the generator helps it; source side only.
            "none" switches it off.
        semantic_weight: weight of the semantic loss.
        classifier_lr: Adam's learning rate for the classifier that "released" and "cooperative"
            train along.
        pool: images in each discriminator's history.
        average: decay of a running average of the generators' weights, which then translates;
            0 uses the last weights.
    """

    epochs: int = 100
    max_steps: int | None = None
    batch: int = 100
    lr: float = 2e-4
    beta1: float = 0.5
    generator: Literal["resnet", "unshuffle"] = "resnet"
    filters: int = 64
    blocks: int = 9
    size: int | None = 32
    crop: int | None = None
    discriminator_filters: int = 64
    discriminator_layers: int = 3
    gan_source_to_target: float = 2.0
    gan_target_to_source: float = 1.0
    cycle: float = 1.0
    identity: float = 0.0
    semantic: Literal["paper", "released", "cooperative", "none"] = "paper"
    semantic_weight: float = 1.0
    classifier_lr: float = 2e-4
    pool: int = 50
    average: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        positive(self, "epochs", "max_steps", "batch", "lr", "filters", "size", "crop")
        positive(self, "discriminator_filters", "discriminator_layers", "classifier_lr")
        weights = ("gan_source_to_target", "gan_target_to_source", "cycle", "semantic_weight")
        between(self, 0, math.inf, *weights, "identity", "blocks", "pool")
        between(self, 0, 0.9999, "beta1", "average")
        semantic = 0.0 if self.semantic == "none" else self.semantic_weight
        if not any((semantic, *(getattr(self, name) for name in weights[:3]))):
            raise ValueError("every loss is switched off; leave the stage out by pixel=none.")

    @property
    def needs_target_to_source(self) -> bool:
        """Whether any loss looks at G_TS."""
        both_sides = self.semantic in ("paper", "released")
        return bool(self.gan_target_to_source or self.cycle or both_sides)


def train_translator(
    translator: ImageTranslator, f_s: nn.Module, task: Task, how: Pixel, ctx: Context
) -> None:
    """Train both generators in place, against two patch discriminators (CycleGAN's procedure).

    Each step updates the generators (and, for the semantic readings that train one, the
    classifier), then both discriminators on a history of translations.

    Args:
        translator: the generators.
        f_s: the frozen source network, the labeller of ``semantic="paper"``.
        task: source and target images at the task's size.
        how: the stage's hyperparameters.
        ctx: the trial's harness.
    """
    trained = copy.deepcopy(translator) if how.average else translator
    d_s = PatchDiscriminator(task.channels, how.discriminator_filters, how.discriminator_layers)
    d_t = PatchDiscriminator(task.channels, how.discriminator_filters, how.discriminator_layers)
    discriminators = ctx.prepared(nn.ModuleList([d_s, d_t]))
    semantics = Semantics(how, f_s, ctx)
    betas = (how.beta1, 0.999)
    g_optimizer = torch.optim.Adam(trained.parameters(), lr=how.lr, betas=betas)
    d_optimizer = torch.optim.Adam(discriminators.parameters(), lr=how.lr, betas=betas)
    n = total_steps(how.epochs, how.max_steps, max(len(task.source), len(task.target)), how.batch)
    g_schedule, d_schedule = hold_then_fall(g_optimizer, n), hold_then_fall(d_optimizer, n)
    pool_s, pool_t = ImagePool(how.pool), ImagePool(how.pool)
    state = {
        "trained": trained,
        "discriminators": discriminators,
        "g_optimizer": g_optimizer,
        "d_optimizer": d_optimizer,
        "g_schedule": g_schedule,
        "d_schedule": d_schedule,
        "pool_s": pool_s,
        "pool_t": pool_t,
        **semantics.state,
    }
    g_st, g_ts = trained.source_to_target, trained.target_to_source
    trained.train()
    for step in ctx.steps(n, state):
        x_s, y_s = step.batch(task.source, how.batch, how.crop)
        x_t = step.batch(task.target, how.batch, how.crop)
        x_s, x_t, size = resize(x_s, how.size), resize(x_t, how.size), x_s.shape[-2:]

        discriminators.requires_grad_(requires_grad=False)
        fake_t = g_st(x_s)
        fake_s = g_ts(x_t) if how.needs_target_to_source else None
        losses: dict[str, Tensor] = {}
        if how.gan_source_to_target:
            losses["gan_st"] = how.gan_source_to_target * lsgan(d_t(fake_t), is_real=True)
        if fake_s is not None and how.gan_target_to_source:
            losses["gan_ts"] = how.gan_target_to_source * lsgan(d_s(fake_s), is_real=True)
        losses |= _reconstructions(trained, how, x_s, x_t, fake_t, fake_s)
        losses |= semantics.losses(x_s, y_s, x_t, fake_t, fake_s, size)
        g_optimizer.zero_grad(set_to_none=True)
        semantics.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        g_optimizer.step()
        g_schedule.step()
        semantics.step()

        discriminators.requires_grad_(requires_grad=True)
        d_losses = []
        if how.gan_source_to_target:
            d_losses.append(_discriminate(d_t, x_t, pool_t.query(fake_t.detach())))
        if fake_s is not None and how.gan_target_to_source:
            d_losses.append(_discriminate(d_s, x_s, pool_s.query(fake_s.detach())))
        if d_losses:
            losses["discriminators"] = torch.stack(d_losses).sum()
            d_optimizer.zero_grad(set_to_none=True)
            losses["discriminators"].backward()
            d_optimizer.step()
            d_schedule.step()

        if how.average:
            # The early weights are noise: let the average follow closely at first.
            decay = min(how.average, (1 + step.index) / (10 + step.index))
            _follow(translator, trained, decay)
        if step.index % 50 == 0:
            ctx.log(**{name: loss.item() for name, loss in losses.items()})
            _check_spread(ctx, step.index, {"target": (fake_t, x_s), "source": (fake_s, x_t)})


def _reconstructions(
    translator: ImageTranslator,
    how: Pixel,
    x_s: Tensor,
    x_t: Tensor,
    fake_t: Tensor,
    fake_s: Tensor | None,
) -> dict[str, Tensor]:
    """Return what compares images with themselves: Equation 3, and the identity loss."""
    g_st, g_ts = translator.source_to_target, translator.target_to_source
    losses: dict[str, Tensor] = {}
    if fake_s is not None and how.cycle:
        losses["cycle_s"] = how.cycle * cycle_loss(g_ts(fake_t), x_s)
        losses["cycle_t"] = how.cycle * cycle_loss(g_st(fake_s), x_t)
    if how.identity:
        losses["identity_t"] = how.identity * cycle_loss(g_st(x_t), x_t)
        if fake_s is not None:
            losses["identity_s"] = how.identity * cycle_loss(g_ts(x_s), x_s)
    return losses


@torch.no_grad()
def _check_spread(
    ctx: Context, step: int, translations: Mapping[str, tuple[Tensor | None, Tensor]]
) -> None:
    """Warn of a generator that makes nearly one image of all: that collapsed (Goodfellow 2016).

    Args:
        ctx: the trial's harness.
        step: of the loop; at 0 a generator is untrained, and not collapsed.
        translations: by domain, images (b, c, h, w) translated to it, and their originals.
    """
    for to, (fake, real) in translations.items():
        alike = fake is not None and spread(fake) < COLLAPSED * spread(real)
        if step and len(real) > 1 and alike:
            ctx.warn(
                "collapsed generator",
                f"translations to the {to} are all alike: they differ by less than"
                f" {COLLAPSED:.0%} of what their originals do",
            )


def spread(images: Tensor) -> float:
    """Return how much images (b, c, h, w) differ: a pixel's standard deviation, in the mean.

    >>> spread(torch.zeros(3, 1, 2, 2)), spread(torch.tensor([0.0, 2.0]).view(2, 1, 1, 1))
    (0.0, 1.0)
    """
    return float(images.float().std(dim=0, correction=0).mean())


def _discriminate(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's loss: half of LSGAN's on each kind of image."""
    on_real = lsgan(discriminator(real), is_real=True)
    on_fake = lsgan(discriminator(fake), is_real=False)
    return 0.5 * (on_real + on_fake)


@torch.no_grad()
def _follow(average: nn.Module, trained: nn.Module, decay: float) -> None:
    """Move `average` towards `trained`: w <- decay * w + (1 - decay) * w_trained."""
    torch._foreach_lerp_(list(average.parameters()), list(trained.parameters()), 1.0 - decay)
