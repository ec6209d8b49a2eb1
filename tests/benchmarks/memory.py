"""Peak memory of the paper's two segmentation networks on a CPU.

A whole Cityscapes image (2048x1024) through the network, and one training step of the `paper`
preset on the source: batch 1, SGD with momentum 0.99, a whole frame or a crop of 768x768. Each is
measured in a process of its own, twice: a first step, and one more, for which momentum is there.
What the process took before the network was built (Python, torch) is subtracted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

CASES = {
    "inference, 2048x1024": (1024, 2048),
    "training step, 2048x1024": (1024, 2048),
    "training step, 1024x512": (512, 1024),
    "training step, crop 768x768": (768, 768),
}
CLASSES = 19


def main() -> int:
    """Print a table, one process after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--alone", nargs=2, metavar=("NETWORK", "CASE"), help="measure one, as JSON"
    )
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(measured(*asked.alone, asked.threads)))
        return 0
    print("| network | what | weights | peak above torch's own | seconds |")
    print("| :-- | :-- | --: | --: | --: |")
    for name in ("fcn8s", "drn26"):
        for case in CASES:
            command = [sys.executable, __file__, "--threads", str(asked.threads)]
            done = subprocess.run(
                [*command, "--alone", name, case], check=True, capture_output=True, text=True
            )
            found = json.loads(done.stdout)
            weights, peak = (f"{found[part] / 2**30:.2f} GiB" for part in ("weights", "peak"))
            print(f"| {name} | {case} | {weights} | {peak} | {found['seconds']:.1f} |", flush=True)
    return 0


def measured(name: str, case: str, threads: int) -> dict[str, float]:
    """Return bytes of the weights, bytes at the peak, and seconds of the last pass."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    from bench import backbones

    torch.set_num_threads(threads)
    F.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3))  # loads what convolutions need
    before = resident()
    height, width = CASES[case]
    network = backbones.build(name, classes=CLASSES, channels=3, size=(height, width))
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    images = torch.rand(1, 3, height, width) * 2 - 1
    labels = torch.randint(0, CLASSES, (1, height, width))
    training = case.startswith("training")
    network.train(training)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.99, weight_decay=5e-4)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        with torch.set_grad_enabled(training):
            logits = network(images)
        if training:
            optimizer.zero_grad()
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
        del logits
        seconds = time.perf_counter() - start
    return {"weights": weights, "peak": resident() - before, "seconds": seconds}


def resident() -> int:
    """Return the most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    sys.exit(main())
