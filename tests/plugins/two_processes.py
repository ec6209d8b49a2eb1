"""What each of two processes does in tests/test_world.py; it writes what came of it to a file."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch

from bench.context import Context
from bench.errors import BenchError
from bench.request import Request
from bench.stages import StageStore
from bench.sweep import sweep
from bench.task import Images, LabeledImages, Task
from bench.world import quiet_followers, world

PLUGINS = Path(__file__).parent
sys.path.insert(0, str(PLUGINS))

from linear import Linear  # noqa: E402  it lies beside this file


def trial(runs: Path, *settings: str) -> Any:
    """Run one trial as the command does; return how it ended, or the error's message."""
    request = Request(
        suite=f"{PLUGINS / 'toy_suite.py'}:TOY",
        methods=(f"{PLUGINS / 'linear.py'}:Linear",),
        seeds=(0,),
        preset="smoke",
        settings=settings,
        threads=1,
        device="cpu",
        runs=runs,
    )
    try:
        with quiet_followers():
            (outcome,) = sweep(request).outcomes
    except BenchError as error:
        return str(error)
    return {"run_id": outcome["run_id"], "status": outcome["status"]}


def task() -> Task:
    """Return a small task."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8, generator=random)
    source = LabeledImages(pixels, torch.arange(40) % 3, "source")
    return Task(source, source, Images(pixels, "target"), 3)


def fit(folder: Path, stop: int | None = None) -> dict[str, list[float]] | None:
    """Fit the linear network; both processes are interrupted after `stop` steps."""

    def on_step(_: str, done: int, __: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    ctx = Context(
        seed=0,
        device=torch.device("cpu"),
        network=torch.nn.Identity,
        workspace=folder / "work",
        store=StageStore(folder / "stages"),
        identity="identity",
        budget=1000,
        on_step=on_step,
        world=world(),
    )
    try:
        with ctx.fitting():
            net = Linear(steps=40, batch=8).fit(task(), ctx)
    except KeyboardInterrupt:
        return None
    return {key: value.flatten().tolist() for key, value in net.state_dict().items()}


def main(folder: Path) -> None:
    """Do it all, in an order that both processes keep."""
    here = world()
    found: dict[str, Any] = {"rank": here.rank, "size": here.size}
    found["mean"] = here.mean(torch.tensor([1.0 + here.rank, 5.0]), "a test").tolist()
    found["broadcast"] = here.broadcast({"from": here.rank}, "a test")
    found["gather"] = here.gather(here.rank, "a test")
    try:
        here.gather(None, f"place {here.rank}")
    except BenchError as error:
        found["apart"] = str(error)
    found["trial"] = trial(folder / "runs")
    found["again"] = trial(folder / "runs")
    found["odd batch"] = trial(folder / "runs", "batch=33")
    found["astray"] = trial(folder / "runs", "astray=true")
    found["whole"] = fit(folder / "whole")
    found["interrupted"] = fit(folder / "resumed", stop=20)
    # As if process 0 had been killed before it wrote its snapshot: both must begin anew.
    found["resumed"] = fit(folder / "resumed")
    fit(folder / "torn", stop=20)
    here.gather(None, "before the tear")
    if here.rank == 0:
        (snapshot,) = (folder / "torn" / "work").rglob("loop-0.pt")
        snapshot.unlink()
    here.gather(None, "after the tear")
    found["torn"] = fit(folder / "torn")
    found["defaults"] = dataclasses.asdict(Linear())
    (folder / f"{here.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
