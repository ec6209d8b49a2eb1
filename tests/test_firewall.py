"""No method learns from a target label: replace all of them, and only the score changes."""

from __future__ import annotations

import dataclasses
import json
import textwrap
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch

import bench.task
from bench import plugins, sweep
from bench.api import Images, LabeledImages, Task
from bench.data import assemble
from bench.request import Request
from bench.suites import Shift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

PLUGINS = Path(__file__).parent / "plugins"
BNM = f"{PLUGINS / 'bnm.py'}:BNM"
BLIND = ["source-only", "adda", "cycada", "dann", "deep-coral", "bnm"]

# The names of the classes are the same in every version: they are part of a run's id.
DOMAINS = """
    import torch
    from bench.suites import Entry, Shift, Suite

    def bars(split):
        random = torch.Generator().manual_seed(len(split))
        labels = torch.randint(0, 3, (160 if split == "train" else 90,), generator=random)
        canvas = torch.randint(0, 60, (len(labels), 1, 16, 16), generator=random)
        for image, label in zip(canvas[:, 0], labels.tolist()):
            [image[7:9], image[:, 7:9], image.diagonal()][label][:] += 150
        return canvas.to(torch.uint8), labels

    class Bright:
        classes = 3
        def images(self, root, split):
            return bars(split)[0]
        def labels(self, root, split):
            return bars(split)[1]

    class Dim(Bright):
        def images(self, root, split):
            return bars(split)[0] // 2 + 60
        def labels(self, root, split):
            {labels}

    SOURCE = {{"source.max_steps": 60, "source.lr": 1e-3}}
    FEATURE = {{"feature.max_steps": 20, "feature.lr": 1e-4}}
    BLIND = (
        Entry("source-only", "source-only", SOURCE),
        Entry("adda", "adda", SOURCE | FEATURE),
        Entry("cycada", "cycada", SOURCE | FEATURE),
        Entry("dann", "dann", {{"max_steps": 60}}),
        Entry("deep-coral", "deep-coral", {{"max_steps": 60}}),
        Entry("bnm", "{bnm}", {{"steps": 60}}),
    )
    SHIFT = Shift("bright2dim", "two.py:Bright", "two.py:Dim", size=16)
    SUITE = Suite("two", "", (SHIFT,), BLIND + (Entry("target-only", "target-only", SOURCE),))
    SEALED = Suite("two", "", (SHIFT,), BLIND)
"""
TRUE = "return bars(split)[1]"
RANDOM = """n = len(bars(split)[1])
            return torch.randint(0, 3, (n,), generator=torch.Generator().manual_seed(99))"""
SEALED = """if split == "train":
                raise AssertionError("somebody read the target's training labels")
            return bars(split)[1]"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, Any]]]:
    """Run every method with true, with random and with sealed target labels.

    Returns:
        By version: the runs folder, and the outcome of each method by its name.
    """
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for version, labels in {"true": TRUE, "random": RANDOM, "sealed": SEALED}.items():
            # Names of file domains are remembered; each version is a process of its own.
            patch.setattr(plugins, "_FILE_DOMAINS", {})
            folder = tmp_path_factory.mktemp(version)
            text = DOMAINS.format(labels=labels, bnm=BNM)
            (folder / "two.py").write_text(textwrap.dedent(text))
            suite = "SEALED" if version == "sealed" else "SUITE"
            request = Request(
                suite=f"{folder / 'two.py'}:{suite}",
                seeds=(0,),
                preset="smoke",
                threads=1,
                runs=folder / "runs",
            )
            report = sweep.sweep(request)
            found[version] = folder / "runs", {o["method"]: o for o in report.outcomes}
        yield found


def folder_of(outcomes: dict[str, tuple[Path, Any]], version: str, method: str) -> Path:
    runs, by_method = outcomes[version]
    return runs / by_method[method]["run_id"]


def trained(folder: Path) -> dict[str, bytes]:
    """Return all that a run's training left: weights of stages and checkpoints, logs, outputs."""
    record = json.loads((folder / "run.json").read_text())
    files = [folder / "metrics.jsonl", folder / "outputs.safetensors"]
    files += (folder / "checkpoints").iterdir()
    for stage in record["stages"]:
        files += (folder.parent / "stages" / stage["key"]).rglob("*.safetensors")
    assert len(files) > 7
    return {str(file.relative_to(folder.parent)): file.read_bytes() for file in files}


def confusions(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "confusion.npz") as file:
        return dict(file)


@pytest.mark.parametrize("version", ["random", "sealed"])
@pytest.mark.parametrize("method", BLIND)
def test_other_target_labels_change_no_run_id_no_weight_and_no_prediction(
    method: str, version: str, outcomes: dict[str, tuple[Path, Any]]
) -> None:
    expected = folder_of(outcomes, "true", method)
    found = folder_of(outcomes, version, method)
    assert found.name == expected.name
    # A few steps of training may end with one answer for all images: that is scored as well.
    ends = [outcomes[v][1][method]["status"] for v in ("true", version)]
    assert ends in (["done", "done"], ["diverged", "diverged"])
    configs = [json.loads((f / "run.json").read_text())["config"] for f in (expected, found)]
    assert configs[0] == configs[1]
    assert trained(found) == trained(expected)
    # Nor does a rule see one; only the oracle would, and nobody keeps a score of it.
    judged = [json.loads((f / "run.json").read_text())["scores"] for f in (expected, found)]
    assert judged[0] == judged[1]
    assert {"infomax", "dev"} <= set(judged[0])
    assert "oracle" not in judged[0]


@pytest.mark.parametrize("method", BLIND)
def test_other_target_labels_change_the_score(
    method: str, outcomes: dict[str, tuple[Path, Any]]
) -> None:
    """Without this, the test above would pass for a domain whose labels nobody replaced."""
    expected = confusions(folder_of(outcomes, "true", method))
    found = confusions(folder_of(outcomes, "random", method))
    assert found.keys() == expected.keys()
    for name, matrix in expected.items():
        assert not np.array_equal(found[name], matrix), name
        # What is predicted is the same; what is true is not.
        assert np.array_equal(found[name].sum(0), matrix.sum(0))


def test_the_upper_bound_does_learn_from_target_labels(
    outcomes: dict[str, tuple[Path, Any]],
) -> None:
    expected = folder_of(outcomes, "true", "target-only")
    found = folder_of(outcomes, "random", "target-only")
    assert found.name != expected.name
    weights = [
        max((f / "checkpoints").iterdir(), key=lambda path: path.name).read_bytes()
        for f in (expected, found)
    ]
    assert weights[0] != weights[1]
    judged = [json.loads((f / "run.json").read_text())["scores"] for f in (expected, found)]
    assert judged[0] != judged[1]


# ------------------------------------------------------------------ the types


def test_a_task_has_no_place_for_a_target_label() -> None:
    """Whoever adds a field here has to say why it cannot hold a target label."""
    hints = typing.get_type_hints(Task, vars(bench.task))
    assert {field.name: hints[field.name] for field in dataclasses.fields(Task)} == {
        "source": LabeledImages,
        "validation": LabeledImages,
        "target": Images,
        "classes": int,
    }
    assert [field.name for field in dataclasses.fields(Images)] == ["pixels", "role"]
    assert not hasattr(Images, "labels")
    # Frozen, so that a method does not get one put there by another either.
    for cls in (Task, Images, LabeledImages):
        assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


# ------------------------------------------------------------------ who is asked


@dataclass
class Recording:
    """A domain that writes down which labels it was asked for."""

    asked: list[str]
    classes: ClassVar[int] = 2

    def images(self, root: Path, split: str) -> Tensor:
        return torch.zeros(20, 1, 4, 4, dtype=torch.uint8)

    def labels(self, root: Path, split: str) -> Tensor:
        self.asked.append(split)
        return torch.arange(20) % 2


@pytest.mark.parametrize("learns_from", ["source", "target"])
def test_only_the_teacher_is_asked_for_labels(
    learns_from: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = Recording([]), Recording([])
    called_with = []
    original = assemble.train_labels

    def recording(domain: Recording, root: Path) -> Tensor:
        called_with.append(domain)
        return original(domain, root)

    monkeypatch.setattr(assemble, "train_labels", recording)
    shift, root, cpu = Shift("a2b", "a", "b", size=4), Path("nowhere"), torch.device("cpu")
    assemble.build_task(shift, source, target, root, cpu, learns_from)
    assemble.test_images(shift, target, root, cpu)
    teacher, other = (target, source) if learns_from == "target" else (source, target)
    assert len(called_with) == 1
    assert called_with[0] is teacher
    assert (teacher.asked, other.asked) == (["train"], [])
