"""What trials on one shift share: the task, the test images, and their digests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.data.assemble import build_task, test_images, test_reading, test_sizes
from bench.digest import digest_of

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from bench.data.assemble import LearnsFrom
    from bench.data.domain import Domain, Scenes
    from bench.suites import Shift
    from bench.task import Images, Task


@dataclass(frozen=True, eq=False)
class Material:
    """What trials on one shift share: the task, the test images, and their digests.

    Attributes:
        task: what methods see.
        test: the target's test images.
        sizes: for segmentation, height and width of each one's label map.
        target: the domain that knows the test labels.
        root: the data folder.
        task_digest: of the task.
        digest: of the task, the test images, and how their label maps are read.
    """

    task: Task
    test: Images
    sizes: list[tuple[int, int]] | None
    target: Domain | Scenes
    root: Path
    task_digest: str
    digest: str


def load_material(
    shift: Shift,
    source: Domain | Scenes,
    target: Domain | Scenes,
    root: Path,
    device: torch.device,
    learns_from: LearnsFrom,
    cache: Path | None = None,
) -> Material:
    """Read one shift's data; raise MissingDataError if it is not there or not sound."""
    task = build_task(shift, source, target, root, device, learns_from, cache)
    test = test_images(shift, target, root, device, cache)
    task_digest = task.digest()
    sizes, reading = test_sizes(target, root), test_reading(target, shift.protocol)
    scored = [] if sizes is None else [sizes, reading]
    digest = digest_of(task_digest, test.digest(), *scored)
    return Material(task, test, sizes, target, root, task_digest, digest)
