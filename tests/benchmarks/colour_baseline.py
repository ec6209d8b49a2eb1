"""What matching colours does for `streets-mini`: the baseline that adaptation has to beat.

A small U-Net is trained on the game's pictures as they are, or with the colours of the camera's
training pictures, and scored on the camera's test pictures. The camera's own labels give the upper
bound. Each game picture borrows its colours from one camera picture, drawn at random: the means and
deviations of its channels in RGB; those in CIE Lab (after Reinhard et al. 2001); or its whole
histograms.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.classes import CITYSCAPES, IGNORED
from bench.data.scenes import read_colours
from bench.data.streets.domains import StreetsCamera, StreetsGame
from bench.metrics import mean_iou, pixel_accuracy

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.data.domain import Scenes, Split

CLASSES = len(CITYSCAPES)
TO_LINEAR = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
"""Linear sRGB to CIE XYZ."""
WHITE = np.array([0.9505, 1.0, 1.089])


def load(domain: Scenes, root: Path, split: Split) -> tuple[Tensor, Tensor]:
    """Return pictures, uint8 (n, 3, h, w), and class indices, uint8 (n, h, w)."""
    scenes, table = domain.scenes(root, split), torch.from_numpy(domain.indices("cityscapes-19"))
    images = torch.stack([read_colours(scene.image) for scene in scenes])
    labels = torch.stack([table[domain.raw_labels(scene.label).int()] for scene in scenes])
    return images, labels


def moments(image: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Return float64 (n, 3) with the means and deviations of `model`'s columns."""
    scaled = (image - image.mean(0)) / (image.std(0) + 1e-6)
    return scaled * model.std(0) + model.mean(0)


def reinhard(image: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Return the same in CIE Lab."""
    return from_lab(moments(to_lab(image), to_lab(model)))


def histogram(image: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Return (n, 3) with the histograms of `model`'s columns."""
    matched = np.empty_like(image)
    for channel in range(3):
        ranks = image[:, channel].argsort(kind="stable").argsort(kind="stable")
        matched[:, channel] = np.sort(model[:, channel])[ranks]
    return matched


def to_lab(image: np.ndarray) -> np.ndarray:
    """Return CIE Lab of sRGB in 0..255."""
    part = image / 255
    linear = np.where(part > 0.04045, ((part + 0.055) / 1.055) ** 2.4, part / 12.92)
    ratio = linear @ TO_LINEAR.T / WHITE
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """Return sRGB in 0..255 of CIE Lab, not yet clipped."""
    y = (lab[:, 0] + 16) / 116
    root = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    ratio = np.where(root > 0.2069, root**3, (root - 16 / 116) / 7.787)
    linear = (ratio * WHITE @ np.linalg.inv(TO_LINEAR).T).clip(0, 1)
    return 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def matched(
    images: Tensor, models: Tensor, how: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Tensor:
    """Return the images, each with the colours of a model drawn at random."""
    chosen = np.random.default_rng(0).integers(len(models), size=len(images))
    pairs = zip(images, models[torch.from_numpy(chosen)], strict=True)
    columns = [[each.flatten(1).T.double().numpy() for each in pair] for pair in pairs]
    made = np.stack([how(image, model) for image, model in columns])
    rounded = torch.from_numpy(made.clip(0, 255).round().astype(np.uint8))
    return rounded.transpose(1, 2).reshape(images.shape)


class UNet(nn.Module):
    """A U-Net of four scales that works on blocks of 2x2 pixels."""

    def __init__(self, width: int = 16) -> None:
        """Make random weights."""
        super().__init__()
        widths = [width, 2 * width, 3 * width, 4 * width]
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), block(12, width))
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(block(before, after) for before, after in pairs)
        self.up = nn.ModuleList(block(low + high, high) for high, low in reversed(pairs))
        self.head = nn.Conv2d(width, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (b, k, h, w)."""
        scales = [self.stem(x)]
        for down in self.down:
            scales.append(down(functional.max_pool2d(scales[-1], 2)))
        x = scales.pop()
        for up, fine in zip(self.up, reversed(scales), strict=True):
            x = up(torch.cat([functional.interpolate(x, scale_factor=2.0), fine], 1))
        return functional.interpolate(self.head(x), scale_factor=2.0, mode="bilinear")


def block(inner: int, outer: int) -> nn.Sequential:
    """Return two convolutions."""
    layers: list[nn.Module] = []
    for before in (inner, outer):
        layers += [nn.Conv2d(before, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers)


def trained(images: Tensor, labels: Tensor, steps: int, seed: int) -> UNet:
    """Return a U-Net after so many steps of 4 pictures, half of them mirrored."""
    torch.manual_seed(seed)
    net = UNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(images), (4,))
        batch, truth = images[chosen].float() / 127.5 - 1, labels[chosen].long()
        if torch.rand(()) < 0.5:
            batch, truth = batch.flip(-1), truth.flip(-1)
        loss = functional.cross_entropy(net(batch), truth, ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def confusion(net: UNet, images: Tensor, labels: Tensor) -> Tensor:
    """Return the confusion matrix, int64 (k, k), rows = ground truth."""
    matrix = torch.zeros(CLASSES * CLASSES, dtype=torch.int64)
    for part, truth in zip(images.split(10), labels.split(10), strict=True):
        guess = net(part.float() / 127.5 - 1).argmax(1)
        counted = truth != IGNORED
        cells = CLASSES * truth[counted].long() + guess[counted]
        matrix += torch.bincount(cells, minlength=CLASSES * CLASSES)
    return matrix.reshape(CLASSES, CLASSES)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, help="data folder; default: a temporary one")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = asked.data or Path(folder)
        for domain in (StreetsGame(), StreetsCamera()):
            domain.prepare(root)
        game, game_labels = load(StreetsGame(), root, "train")
        camera, camera_labels = load(StreetsCamera(), root, "train")
        test, test_labels = load(StreetsCamera(), root, "test")
    rows: dict[str, Callable[[], Tensor]] = {
        "game, as it is": lambda: game,
        "game, means and deviations of RGB": lambda: matched(game, camera, moments),
        "game, means and deviations of Lab": lambda: matched(game, camera, reinhard),
        "game, histograms of RGB": lambda: matched(game, camera, histogram),
        "camera (supervised)": lambda: camera,
    }
    print(f"{asked.steps} steps, seed {asked.seed}, {asked.threads} threads\n")
    print("| trained on | mIoU on the camera's test pictures | pixel accuracy | seconds |")
    print("| :-- | --: | --: | --: |")
    for name, images in rows.items():
        start = time.perf_counter()
        labels = camera_labels if name.startswith("camera") else game_labels
        net = trained(images(), labels, asked.steps, asked.seed)
        matrix = confusion(net, test, test_labels).numpy()
        miou, accuracy = mean_iou(matrix) or 0.0, pixel_accuracy(matrix) or 0.0
        seconds = time.perf_counter() - start
        print(
            f"| {name} | {100 * miou:.1f} % | {100 * accuracy:.1f} % | {seconds:.0f} |", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
