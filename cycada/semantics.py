"""Equation 4 and its other readings: what a classifier must still see in a translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.api import evaluating
from cycada.losses import semantic_loss
from cycada.translator import resize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from bench.api import Context
    from cycada.pixel_stage import Pixel


class Semantics:
    """The semantic loss in one of its readings (see `Pixel.semantic`), with what it trains."""

    def __init__(self, how: Pixel, f_s: nn.Module, ctx: Context) -> None:
        """Build the classifier that the reading trains along, if any."""
        self._how = how
        self._mean = ctx.mean
        self._trains = how.semantic in ("released", "cooperative")
        self._net = ctx.network() if self._trains else f_s
        self._ready = Switch()
        self.state: dict[str, nn.Module | torch.optim.Adam | Switch] = {}
        self._optimizer: torch.optim.Adam | None = None
        if self._trains:
            self._net.train()
            self._optimizer = torch.optim.Adam(self._net.parameters(), lr=how.classifier_lr)
            self.state = {
                "classifier": self._net,
                "classifier_optimizer": self._optimizer,
                "classifier_ready": self._ready,
            }

    def losses(
        self,
        x_s: Tensor,
        y_s: Tensor,
        x_t: Tensor,
        fake_t: Tensor,
        fake_s: Tensor | None,
        size: Iterable[int],
    ) -> dict[str, Tensor]:
        """Return this step's terms, for the generators and for the classifier alike."""
        if self._how.semantic == "none":
            return {}
        shape = torch.Size(size)
        seen = {"x_s": x_s, "x_t": x_t, "fake_t": fake_t}
        if fake_s is not None:
            seen["fake_s"] = fake_s
        images = {name: resize(x, shape) for name, x in seen.items()}
        if self._how.semantic == "paper":
            return self._by_frozen(images)
        if self._how.semantic == "released":
            return self._by_companion(images, y_s)
        return self._by_cooperation(images, y_s)

    def _by_frozen(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        weight = self._how.semantic_weight
        with torch.no_grad():
            label_s = self._net(images["x_s"]).argmax(1)
            label_t = self._net(images["x_t"]).argmax(1)
        return {
            "semantic_s": weight * semantic_loss(self._net(images["fake_t"]), label_s),
            "semantic_t": weight * semantic_loss(self._net(images["fake_s"]), label_t),
        }

    def _by_companion(self, images: dict[str, Tensor], y_s: Tensor) -> dict[str, Tensor]:
        weight = self._how.semantic_weight
        own = semantic_loss(self._net(images["x_s"]), y_s)
        terms = {"classifier": own}
        self._ready.flip_if(self._mean(own.item()) <= 1.0)
        if self._ready.on:
            with torch.no_grad():
                label_t = judge(self._net, images["x_t"]).argmax(1)
            terms["semantic_s"] = weight * semantic_loss(judge(self._net, images["fake_t"]), y_s)
            terms["semantic_t"] = weight * semantic_loss(
                judge(self._net, images["fake_s"]), label_t
            )
        return terms

    def _by_cooperation(self, images: dict[str, Tensor], y_s: Tensor) -> dict[str, Tensor]:
        both = self._net(torch.cat([images["x_s"], images["fake_t"]]))
        own, translated = both.split(len(y_s))
        return {
            "classifier": semantic_loss(own, y_s),
            "semantic_s": self._how.semantic_weight * semantic_loss(translated, y_s),
        }

    def zero_grad(self) -> None:
        """Clear the classifier's gradients."""
        if self._optimizer is not None:
            self._optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update the classifier."""
        if self._optimizer is not None:
            self._optimizer.step()


class Switch:
    """Off until a condition has held once; then on for good."""

    def __init__(self) -> None:
        """Start switched off."""
        self.on = False

    def flip_if(self, condition: bool) -> None:  # noqa: FBT001
        """Switch on if `condition` holds."""
        self.on = self.on or condition

    def state_dict(self) -> dict[str, object]:
        """Return whether it is on."""
        return {"on": self.on}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore whether it is on."""
        self.on = bool(state["on"])


def judge(net: nn.Module, x: Tensor) -> Tensor:
    """Return net(x) in evaluation mode; gradients reach `x` but not the weights."""
    weights = {name: w.detach() for name, w in net.named_parameters()}
    with evaluating(net):
        logits: Tensor = torch.func.functional_call(net, weights, (x,))
    return logits
