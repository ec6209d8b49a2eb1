"""A history of translated images, so that a discriminator does not chase the newest alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


class ImagePool:
    """Keeps up to `capacity` images and mixes them into each batch (Shrivastava et al. 2017).

    Images enter one at a time: while there is room, an image is stored and also returned; after
    that, with probability 1/2, it is returned as it is, else it takes the place of a random stored
    one, which is returned instead. So a batch may return an image that an earlier place of the same
    batch has just stored, and the order of a batch matters.

    >>> pool = ImagePool(capacity=2)
    >>> pool.query(torch.ones(3, 1, 4, 4)).shape, len(pool)
    (torch.Size([3, 1, 4, 4]), 2)
    """

    def __init__(self, capacity: int = 50) -> None:
        """Start empty; a capacity of 0 returns every batch unchanged.

        Raises:
            BenchError: the capacity is negative.
        """
        if capacity < 0:
            raise BenchError(
                f"an image pool holds 0 images or more, got {capacity}. Set pixel.pool to 0 to"
                " show the discriminators the newest translations only."
            )
        self._capacity = capacity
        self._stored: Tensor | None = None

    def __len__(self) -> int:
        """Return how many images are stored."""
        return 0 if self._stored is None else len(self._stored)

    def query(self, images: Tensor) -> Tensor:
        """Return a batch like `images` (b, c, h, w), part of it from the history.

        What comes from the history carries no gradient. Draws from torch's global generator,
        which the harness seeds at each step.
        """
        if self._capacity == 0:
            return images
        room = self._capacity - len(self)
        kept, fresh = images[:room], images[room:]
        if len(kept):
            copy = kept.detach().clone()
            self._stored = copy if self._stored is None else torch.cat([self._stored, copy])
        if not len(fresh) or self._stored is None:
            return images
        swap = torch.rand(len(fresh)) < 0.5  # noqa: PLR2004  a fair coin
        places = torch.randint(self._capacity, (len(fresh),))
        out = fresh.detach().clone()
        for i in swap.nonzero()[:, 0].tolist():
            place = int(places[i])
            out[i] = self._stored[place]
            self._stored[place] = fresh[i].detach()
        return torch.cat([kept, out])

    def state_dict(self) -> dict[str, object]:
        """Return the stored images: float32 (n, c, h, w), or None. As in torch, not a copy."""
        return {"stored": self._stored}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore the stored images."""
        stored = state["stored"]
        self._stored = stored.clone() if isinstance(stored, torch.Tensor) else None
