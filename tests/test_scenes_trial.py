"""Trials on large images with one class a pixel: what they leave, and what they cannot see."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from bench import plugins
from bench.data import assemble, frames
from bench.data.order import hidden_order
from bench.errors import BenchError
from bench.request import Request
from bench.suites import Shift
from bench.sweep import sweep

SUITE = f"{Path(__file__).parent / 'plugins' / 'toy_scenes.py'}:SCENES"
METHODS = ("source-only", "adda", "cycada", "target-only")
STEPS = {
    "source.max_steps": 2,
    "pixel.max_steps": 2,
    "feature.max_steps": 2,
}
CLASSES, TRAIN, TEST, NATIVE, SIZE = 11, 12, 5, (40, 72), (32, 64)


def run(root: Path, runs: Path, *methods: str, **changed: Any) -> dict[str, Path]:
    """Run methods for two steps a stage; return their folders by method."""
    found = {}
    for method in methods:
        parts = {"source-only": 1, "target-only": 1, "adda": 2, "cycada": 3}[method]
        keys = ["source.max_steps", "feature.max_steps", "pixel.max_steps"][:parts]
        asked: dict[str, Any] = {
            "suite": SUITE,
            "methods": (method,),
            "seeds": (0,),
            "preset": "smoke",
            "settings": tuple(f"{key}=2" for key in keys),
            "threads": 1,
            "device": "cpu",
            "data": root,
            "runs": runs,
        }
        (outcome,) = sweep(Request(**(asked | changed))).outcomes
        assert outcome["error"] is None, outcome["error"]
        found[method] = runs / outcome["run_id"]
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder; sweeps fill it, since the domains make their own files."""
    return tmp_path_factory.mktemp("scenes") / "data"


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return run(root, tmp_path_factory.mktemp("runs"), *METHODS)


def confusions(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "confusion.npz") as file:
        return dict(file)


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_folder_holds_this_and_no_more(method: str, finished: dict[str, Path]) -> None:
    # The last stage's network is the last checkpoint.
    names = {
        "adda": ("stage-source",),
        "cycada": ("stage-source", "stage-adapted"),
    }.get(method, ())
    checkpoints = ("checkpoint-00000001", "checkpoint-00000002")
    expected = {
        *("run.json", "metrics.jsonl", "confusion.npz", "outputs.safetensors"),
        *(f"checkpoints/{name.removeprefix('checkpoint-')}.safetensors" for name in checkpoints),
        *(f"predictions/{n}/{i:05d}.png" for n in (*checkpoints, *names) for i in range(TEST)),
        *("figures/confusion.png", "figures/scenes.png"),
    }
    if method == "cycada":
        expected.add("figures/translations.png")
    assert files(finished[method]) == expected


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_of_saved_maps_at_the_label_maps_own_size(
    method: str, finished: dict[str, Path], root: Path
) -> None:
    """Count again by hand, from the files alone."""
    folder = finished[method]
    scenes = plugins.load_domain("night").scenes(root, "test")  # type: ignore[union-attr]
    images = assemble.test_sizes(plugins.load_domain("night"), root)
    assert images == [NATIVE] * TEST
    order = hidden_order(TEST, "test").tolist()
    matrices = confusions(folder)
    stage = {"adda": "feature", "cycada": "feature"}.get(method, "source")
    assert np.array_equal(matrices.pop(f"stage-{stage}"), matrices["checkpoint-00000002"])
    for name, matrix in matrices.items():
        expected = np.zeros((CLASSES, CLASSES), dtype=np.int64)
        for number, place in enumerate(order):
            truth = np.asarray(Image.open(scenes[place].label)).ravel()
            with Image.open(folder / "predictions" / name / f"{number:05d}.png") as image:
                assert image.mode == "P"
                assert image.size == NATIVE[::-1]
                guess = np.asarray(image).ravel()
            for i, j in zip(truth.tolist(), guess.tolist(), strict=True):
                if i != CLASSES:  # unlabelled
                    expected[i, j] += 1
        assert np.array_equal(matrix, expected), name


def test_what_rules_judge_is_kept(finished: dict[str, Path]) -> None:
    for folder in finished.values():
        outputs = load_file(folder / "outputs.safetensors")
        parts = ("target_logits", "validation_logits", "validation_weights")
        names = {f"{part}/checkpoint-{step:08d}" for part in parts for step in (1, 2)}
        assert set(outputs) == {"validation_labels", *names}
        labels = outputs["validation_labels"]
        # One image is held out, 64 of its pixels are asked, and some of these have no label.
        assert 32 < len(labels) <= 64
        assert set(labels.tolist()) == {0, 1, 3}
        for step in (1, 2):
            shapes = [outputs[f"{part}/checkpoint-{step:08d}"].shape for part in parts]
            assert shapes == [(TRAIN * 512, CLASSES), (len(labels), CLASSES), (len(labels),)]


def test_every_rule_judged_every_checkpoint(finished: dict[str, Path]) -> None:
    for folder in finished.values():
        scores = json.loads((folder / "run.json").read_text())["scores"]
        rules = [name for name in plugins.names("rule") if plugins.load_rule(name).score]
        assert set(scores) == set(rules)
        for by_step in scores.values():
            assert set(by_step) == {"1", "2"}
            assert all(isinstance(value, float) for value in by_step.values())


def test_the_record_says_the_task_and_the_protocol(finished: dict[str, Path]) -> None:
    record = json.loads((finished["cycada"] / "run.json").read_text())
    shift = record["config"]["shift"]
    assert (shift["task"], shift["protocol"], shift["size"]) == (
        *("segmentation", "camvid-11"),
        list(SIZE),
    )
    assert [stage["name"] for stage in record["stages"]] == [
        *("source", "translator", "adapted", "feature")
    ]
    assert record["config"]["weights"] == "random"


def test_relatives_share_the_source_stage(finished: dict[str, Path]) -> None:
    keys = {
        method: json.loads((folder / "run.json").read_text())["stages"][0]["key"]
        for method, folder in finished.items()
    }
    assert keys["source-only"] == keys["adda"] == keys["cycada"] != keys["target-only"]


# ------------------------------------------------------------------ what training cannot see


@pytest.mark.parametrize("method", ["source-only", "adda", "cycada"])
def test_other_target_labels_change_the_score_alone(
    method: str, finished: dict[str, Path], root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "data"
    shutil.copytree(root, other)
    random = np.random.default_rng(0)
    for path in (other / "night").rglob("*.label.png"):
        Image.fromarray(random.integers(0, 11, NATIVE, dtype=np.uint8)).save(path)
    (folder,) = run(other, tmp_path / "runs", method).values()
    assert folder.name == finished[method].name
    for name in files(folder):
        if name.startswith(("predictions/", "checkpoints/", "outputs")):
            assert (folder / name).read_bytes() == (finished[method] / name).read_bytes(), name
    judged = [
        json.loads((f / "run.json").read_text())["scores"] for f in (folder, finished[method])
    ]
    assert judged[0] == judged[1]
    expected, found = confusions(finished[method]), confusions(folder)
    assert all(not np.array_equal(found[name], matrix) for name, matrix in expected.items())


def test_target_training_labels_are_never_opened(
    finished: dict[str, Path], root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "data"
    shutil.copytree(root, other)
    for path in (other / "night" / "train").glob("*.label.png"):
        path.write_bytes(b"no image")
    (folder,) = run(other, tmp_path / "runs", "cycada").values()
    found, expected = confusions(folder), confusions(finished["cycada"])
    assert all(np.array_equal(found[name], matrix) for name, matrix in expected.items())


# ------------------------------------------------------------------ memory, streams, cache


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no image fit into memory."""
    monkeypatch.setattr(frames.gather, "__defaults__", (0,))


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("cached", [False, True])
def test_streamed_and_cached_images_give_the_same_numbers(
    cached: bool,  # noqa: FBT001
    finished: dict[str, Path],
    root: Path,
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache" if cached else None
    (folder,) = run(root, tmp_path / "runs", "cycada", cache=cache).values()
    found, expected = confusions(folder), confusions(finished["cycada"])
    assert all(np.array_equal(found[name], matrix) for name, matrix in expected.items())
    kept = [(f / "outputs.safetensors").read_bytes() for f in (folder, finished["cycada"])]
    assert kept[0] == kept[1]
    assert (cache is not None and any(cache.iterdir())) == cached


def shift(**changed: Any) -> Shift:
    (found,) = plugins.load_suite(SUITE).shifts
    return Shift(**(vars(found) | changed))


@pytest.mark.usefixtures("finished")
def test_a_task_of_scenes(root: Path) -> None:
    source, target = (plugins.load_domain(name) for name in ("day", "night"))
    task = assemble.build_task(shift(), source, target, root, torch.device("cpu"))
    assert task.dense
    assert task.size == SIZE
    assert (len(task.source), len(task.validation), len(task.target)) == (11, 1, 12)
    x, y = task.source[torch.tensor([0, 3])]
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert (tuple(x.shape), tuple(y.shape)) == ((2, 3, *SIZE), (2, *SIZE))
    assert set(y.unique().tolist()) == {0, 1, 3, 255}
    # Sky is bluer than buildings: images and label maps belong together.
    sky, building = x.movedim(1, -1)[y == 0].mean(0), x.movedim(1, -1)[y == 1].mean(0)
    assert sky[2] > building[2] + 0.3
    assert len(assemble.test_images(shift(), target, root, torch.device("cpu"))) == TEST


@pytest.mark.usefixtures("finished")
def test_domains_must_be_of_the_shifts_task(root: Path) -> None:
    scenes, digits = plugins.load_domain("day"), plugins.load_domain("handwritten")
    cpu = torch.device("cpu")
    with pytest.raises(BenchError, match="has one class an image"):
        assemble.build_task(shift(), scenes, digits, root, cpu)
    with pytest.raises(BenchError, match="has one class a pixel"):
        assemble.build_task(shift(task="classification"), scenes, scenes, root, cpu)


def test_a_backbone_must_be_of_the_shifts_task(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="one of segmentation, and the backbone 'lenet' one for"):
        run(root, tmp_path, "source-only", backbone="lenet")
    with pytest.raises(BenchError, match="Unknown backbone 'lenett'. Did you mean 'lenet'"):
        run(root, tmp_path, "source-only", backbone="lenett")


@pytest.mark.usefixtures("finished")
def test_an_unknown_label_is_named(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "data"
    shutil.copytree(root, other)
    path = other / "day" / "train" / "003.label.png"
    Image.fromarray(np.full(NATIVE, 77, dtype=np.uint8)).save(path)
    with pytest.raises(BenchError, match="003.label.png.*77"):
        run(other, tmp_path / "runs", "source-only")


def test_pairs_that_a_source_leaves_out_are_reported(
    finished: dict[str, Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left_out(_: object, data: Path, split: str) -> list[str]:
        return [f"{data / '7.png'} is odd ({split})"]

    for name in ("day", "night"):
        cls = type(plugins.load_domain(name))
        monkeypatch.setattr(cls, "left_out", left_out, raising=False)
    asked = Request(
        suite=SUITE,
        methods=("source-only",),
        seeds=(0,),
        preset="smoke",
        settings=("source.max_steps=2",),
        threads=1,
        device="cpu",
        data=root,
        runs=finished["source-only"].parent,
    )
    assert sweep(asked).left_out == [f"{root / '7.png'} is odd (train)"]


def test_a_run_stopped_by_a_broken_file_goes_on_once_it_is_whole(
    finished: dict[str, Path], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained before is not thrown away."""
    monkeypatch.setattr(frames.gather, "__defaults__", (0,))
    other = tmp_path / "data"
    shutil.copytree(root, other)
    path = other / "night" / "test" / "002.label.png"
    content = path.read_bytes()
    path.write_bytes(b"no image")
    with pytest.raises(BenchError, match="002.label.png"):
        run(other, tmp_path / "runs", "source-only")
    (folder,) = (tmp_path / "runs").glob("source-only-*")
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert "002.label.png" in record["error"]
    path.write_bytes(content)
    (again,) = run(other, tmp_path / "runs", "source-only").values()
    assert again == folder
    record = json.loads((folder / "run.json").read_text())
    assert [stage["cached"] for stage in record["stages"]] == [True]
    found, expected = confusions(folder), confusions(finished["source-only"])
    assert all(np.array_equal(found[name], matrix) for name, matrix in expected.items())
