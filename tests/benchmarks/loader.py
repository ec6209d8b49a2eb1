"""How fast large images are read: the plain pipeline, ours from the files, and the decoded cache.

Draws a few street-like images of 2048x1024 with label maps, as PNG, and reads them at 1024x512 on
one thread. The plain pipeline is what most code of this field has: Pillow decodes and resizes,
`pil_to_tensor` converts, and a look-up table makes class indices. All files are in the page
cache; the three readers take turns, and the fastest round of each counts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional as transforms

from bench.classes import CITYSCAPES
from bench.data.cityscapes import Cityscapes
from bench.data.frames import Frames, cached, read_image, read_indices

if TYPE_CHECKING:
    from collections.abc import Callable

NATIVE = (1024, 2048)
SIZE = (512, 1024)
FASTER = 10
"""How many times as fast as the plain pipeline the cache must be."""


def draw(folder: Path, number: int) -> tuple[Path, Path]:
    """Write one image and its label map: smooth regions with sensor noise, as in a photograph."""
    random = np.random.default_rng(number)
    regions = random.integers(0, 34, (8, 16), dtype=np.uint8)
    labels = Image.fromarray(regions).resize(NATIVE[::-1], Image.Resampling.NEAREST)
    colours = Image.fromarray(random.integers(0, 256, (64, 128, 3), dtype=np.uint8))
    smooth = np.asarray(colours.resize(NATIVE[::-1], Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = smooth + random.integers(-2, 3, smooth.shape, dtype=np.int16)
    image, label = folder / f"{number}.png", folder / f"{number}.label.png"
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(image)
    labels.save(label)
    return image, label


def plain(image: Path, label: Path, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Read a pair with Pillow and torchvision."""
    with Image.open(image) as opened:
        resized = opened.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)
        pixels = transforms.pil_to_tensor(resized)
    with Image.open(label) as opened:
        resized = opened.resize(SIZE[::-1], Image.Resampling.NEAREST)
        indices = table[transforms.pil_to_tensor(resized).long()]
    return pixels, indices[0]


def best(rounds: int, reads: dict[str, Callable[[int], object]], count: int) -> dict[str, float]:
    """Return the images per second of each reader in its fastest round."""
    fastest = dict.fromkeys(reads, float("inf"))
    for _ in range(rounds):
        for name, read in reads.items():
            start = time.perf_counter()
            for place in range(count):
                read(place)
            fastest[name] = min(fastest[name], time.perf_counter() - start)
    return {name: count / seconds for name, seconds in fastest.items()}


def main() -> int:
    """Print the table, and fail if ours are not as fast as they should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        pairs = [draw(folder, number) for number in range(asked.images)]
        domain, protocol = Cityscapes(), "cityscapes-19"
        read = partial(read_image, size=SIZE, channels=3, interpolation="bilinear")
        images = Frames([image for image, _ in pairs], read, (3, *SIZE))
        read = partial(read_indices, scenes=domain, protocol=protocol, size=SIZE)
        maps = Frames([label for _, label in pairs], read, SIZE)
        kept = cached(images, folder / "decoded"), cached(maps, folder / "decoded")
        table = torch.from_numpy(CITYSCAPES.by_id())
        at = [torch.tensor([place]) for place in range(asked.images)]
        speeds = best(
            asked.rounds,
            {
                "plain Pillow + torchvision": lambda place: plain(*pairs[place], table),
                "`Frames`, from the files": lambda place: [
                    frames.index_select(0, at[place]) for frames in (images, maps)
                ],
                "`Cached`, decoded and verified": lambda place: [
                    frames.index_select(0, at[place]) for frames in kept
                ],
            },
            asked.images,
        )
    slowest = speeds["plain Pillow + torchvision"]
    print("| reader | pairs per second and core | times the plain pipeline |\n| :-- | --: | --: |")
    for name, speed in speeds.items():
        print(f"| {name} | {speed:,.1f} | {speed / slowest:.2f} |")
    _, ours, decoded = speeds.values()
    return int(ours < slowest or decoded < FASTER * slowest)


if __name__ == "__main__":
    sys.exit(main())
