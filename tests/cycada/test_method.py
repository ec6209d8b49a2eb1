"""CyCADA as a whole: its stages, its switches, its relatives, and the paper's numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from baselines.adda import ADDA
from baselines.source_only import SourceOnly
from baselines.target_only import TargetOnly
from bench import backbones
from bench.context import Context
from bench.hyperparameters import PRESETS, flat, resolve
from bench.predict import predict
from bench.stages import StageStore
from bench.testing import Shape, tiny_task
from cycada.classifier import Classifier, train_classifier
from cycada.discriminators import PatchDiscriminator, ScoreDiscriminator
from cycada.feature_stage import Feature, adapt_features
from cycada.method import CyCADA
from cycada.pixel_stage import Pixel
from cycada.translator import ImageTranslator

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from bench.api import Method

SMALL = Shape(1, (16, 16), 4, "lenet")

LEAN: dict[str, object] = {
    "source.max_steps": 3,
    "pixel.max_steps": 2,
    "pixel.generator": "unshuffle",
    "pixel.size": None,
    "pixel.discriminator_layers": 1,
    "feature.max_steps": 3,
    # Open throughout, so that the stage changes something in its few steps.
    "feature.gate": 0.0,
    "feature.lr": 1e-3,
}


def lean(cls: type = CyCADA, **more: object) -> Any:
    """Return a method of few steps; `more` has dots written as two underscores."""
    known = {"source"} | ({"feature"} if cls is not SourceOnly else set())
    known |= {"pixel"} if cls is CyCADA else set()
    own = {k: v for k, v in LEAN.items() if k.split(".")[0] in known}
    chosen = {k.replace("__", "."): v for k, v in more.items()}
    off = {k for k, v in chosen.items() if v is None}
    own = {k: v for k, v in own.items() if k.split(".")[0] not in off}
    return resolve(cls, "smoke", own | chosen)


def context(folder: Path, *, seed: int = 0, work: str = "work") -> Context:
    return Context(
        seed=seed,
        device=torch.device("cpu"),
        network=lambda: backbones.build("lenet", classes=4, channels=1, size=16),
        workspace=folder / work,
        store=StageStore(folder / "stages"),
        identity="tests",
        budget=1000,
    )


def fitted(folder: Path, method: Method, *, seed: int = 0) -> tuple[Tensor, Context]:
    """Return the logits of the target images, and the trial."""
    task, ctx = tiny_task(SMALL), context(folder, seed=seed)
    network = method.fit(task, ctx)
    assert network is ctx.stages[-1].module, "what is scored is the last stage"
    return predict(network, task.target, SMALL.classes), ctx


def names(ctx: Context) -> list[str]:
    return [stage.name for stage in ctx.stages]


def keys(ctx: Context) -> dict[str, str]:
    return {stage.name: stage.key for stage in ctx.stages}


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


# ------------------------------------------------------------------ stages


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, ["source", "translator", "adapted", "feature"]),
        ({"feature": None}, ["source", "translator", "adapted"]),
        ({"pixel": None}, ["source", "feature"]),
        ({"pixel": None, "feature": None}, ["source"]),
        ({"pixel__semantic": "none"}, ["source", "translator", "adapted", "feature"]),
        ({"pixel__semantic": "cooperative"}, ["source", "translator", "adapted", "feature"]),
        ({"pixel__semantic": "paper"}, ["source", "translator", "adapted", "feature"]),
        ({"pixel__semantic": "released"}, ["source", "translator", "adapted", "feature"]),
        ({"pixel__cycle": 0.0}, ["source", "translator", "adapted", "feature"]),
        (
            {"pixel__gan_source_to_target": 0.0, "pixel__gan_target_to_source": 0.0},
            ["source", "translator", "adapted", "feature"],
        ),
    ],
    ids=lambda value: (
        "-".join(f"{k}={v}" for k, v in value.items())
        if isinstance(value, dict)
        else f"{len(value)} stages"
    ),
)
def test_the_stages_of_each_ablation(
    tmp_path: Path, switches: dict[str, object], expected: list[str]
) -> None:
    logits, ctx = fitted(tmp_path, lean(**switches))
    assert names(ctx) == expected
    assert logits.shape == (64, 4)
    assert logits.isfinite().all()
    steps = {"source": 3, "translator": 2, "adapted": 3, "feature": 3}
    assert {s.name: s.steps for s in ctx.stages} == {name: steps[name] for name in expected}


def test_a_stage_starts_from_what_comes_before(tmp_path: Path) -> None:
    """f_T is trained anew on the translations, then aligned with itself: stage by stage."""
    method = lean()
    _, whole = fitted(tmp_path / "whole", method)
    stages = {stage.name: stage.module for stage in whole.stages}
    task, ctx = tiny_task(SMALL), context(tmp_path / "alone")
    translated = task.source.translated(stages["translator"])
    assert not torch.equal(translated.pixels, task.source.pixels)
    adapted = ctx.stage(
        "adapted",
        params=method.source,
        build=ctx.network,
        train=lambda f_t: train_classifier(f_t, translated, method.source, ctx),
    )
    assert same(adapted, stages["adapted"])
    reference = context(tmp_path / "other").network()
    reference.load_state_dict(adapted.state_dict())
    feature = ctx.stage(
        "feature",
        params=method.feature,
        build=lambda: reference,
        train=lambda f_t: adapt_features(
            f_t, adapted, translated, task.target, method.feature, ctx
        ),
    )
    assert same(feature, stages["feature"])
    assert not same(feature, adapted)
    assert not same(adapted, stages["source"])


def test_parameters_reach_the_keys_of_their_own_stage_and_of_those_after(tmp_path: Path) -> None:
    _, base = fitted(tmp_path, lean())
    for change, changed in (
        ({"source__lr": 1e-5}, {"source", "translator", "adapted", "feature"}),
        ({"pixel__cycle": 2.0}, {"translator", "adapted", "feature"}),
        ({"feature__hidden": 7}, {"feature"}),
    ):
        _, other = fitted(tmp_path, lean(**change))
        differ = {name for name, key in keys(base).items() if keys(other)[name] != key}
        assert differ == changed
        assert {stage.name for stage in other.stages if not stage.cached} == changed


def test_another_seed_is_another_trial(tmp_path: Path) -> None:
    logits, one = fitted(tmp_path, lean(pixel=None))
    others, two = fitted(tmp_path, lean(pixel=None), seed=1)
    assert not set(keys(one).values()) & set(keys(two).values())
    assert not torch.equal(logits, others)


# ------------------------------------------------------------------ relatives


def test_adda_is_cycada_without_a_pixel_stage(tmp_path: Path) -> None:
    """Each in a cache of its own, so that neither gets the other's result."""
    ours, a = fitted(tmp_path / "adda", lean(ADDA))
    theirs, b = fitted(tmp_path / "cycada", lean(pixel=None))
    assert keys(a) == keys(b)
    assert names(a) == ["source", "feature"]
    assert torch.equal(ours, theirs)
    assert not any(stage.cached for stage in (*a.stages, *b.stages))


def test_source_only_is_the_first_stage_of_all(tmp_path: Path) -> None:
    logits, alone = fitted(tmp_path / "alone", lean(SourceOnly))
    _, whole = fitted(tmp_path / "whole", lean())
    assert names(alone) == ["source"]
    assert keys(alone)["source"] == keys(whole)["source"]
    assert same(alone.stages[0].module, whole.stages[0].module)
    again, _ = fitted(tmp_path / "third", lean(pixel=None, feature=None))
    assert torch.equal(logits, again)


@pytest.mark.parametrize("task", ["classification", "segmentation"])
@pytest.mark.parametrize("preset", ["fast", "smoke", "paper"])
def test_relatives_share_their_stages_in_every_preset(preset: str, task: str) -> None:
    source_only, target_only, adda, cycada = (
        resolve(cls, preset, {}, task) for cls in (SourceOnly, TargetOnly, ADDA, CyCADA)
    )
    assert source_only.source == adda.source == cycada.source
    assert adda.feature == cycada.feature
    assert flat(target_only) == flat(source_only)


def test_only_the_upper_bound_learns_from_the_target() -> None:
    assert TargetOnly.learns_from == "target"
    for cls in (CyCADA, ADDA, SourceOnly):
        assert getattr(cls, "learns_from", "source") == "source"


# ------------------------------------------------------------------ departures and presets


@pytest.mark.parametrize("semantic", ["paper", "released", "cooperative", "none"])
def test_only_cooperation_departs_from_the_paper(semantic: str) -> None:
    pixel = Pixel(semantic=semantic)  # type: ignore[arg-type]
    said = CyCADA(pixel=pixel).departure
    if semantic == "cooperative":
        assert said is not None
        assert "Equation 4" in said
        assert "true source labels" in said
    else:
        assert said is None
    assert CyCADA(pixel=pixel, feature=None).departure == said
    assert CyCADA(pixel=None).departure is None


def test_an_identity_loss_departs_from_the_paper() -> None:
    said = CyCADA(pixel=Pixel(identity=0.5)).departure
    assert said is not None
    assert "Equation 6" in said
    both = CyCADA(pixel=Pixel(identity=0.5, semantic="cooperative")).departure
    assert both is not None
    assert said in both
    assert "Equation 4" in both


@pytest.mark.parametrize("preset", PRESETS)
def test_a_setting_departs_and_returns(preset: str) -> None:
    assert resolve(CyCADA, "paper", {}).departure is None
    assert resolve(CyCADA, preset, {"pixel.semantic": "cooperative"}).departure
    assert resolve(CyCADA, preset, {"pixel.semantic": "paper"}).departure is None
    assert resolve(CyCADA, preset, {"pixel": None}).departure is None


@pytest.mark.parametrize("cls", [CyCADA, ADDA, SourceOnly, TargetOnly])
def test_presets_resolve(cls: type) -> None:
    assert resolve(cls, "paper", {}) == cls(), "the paper's values are the defaults"
    base = flat(cls())
    for preset in PRESETS:
        values = flat(resolve(cls, preset, {}))
        assert values.keys() == base.keys()
        assert base | dict(cls.presets.get(preset, {})) == values  # type: ignore[attr-defined]
    steps = ("source.max_steps", "pixel.max_steps", "feature.max_steps")
    fast, smoke = (flat(resolve(cls, preset, {})) for preset in ("fast", "smoke"))
    for key in base.keys() & set(steps):
        few, more = smoke[key], fast[key]
        assert isinstance(few, int), "smoke takes seconds, whatever the size of the data"
        assert not isinstance(more, int) or few < more


# ------------------------------------------------------------------ the paper's numbers


PAPER = {
    "source.epochs": 100,
    "source.batch": 128,
    "source.lr": 1e-4,
    "source.schedule": "constant",
    "pixel.batch": 100,
    "pixel.lr": 2e-4,
    "pixel.beta1": 0.5,
    "pixel.generator": "resnet",
    "pixel.filters": 64,
    "pixel.blocks": 9,
    "pixel.size": 32,
    "pixel.discriminator_layers": 3,
    "pixel.discriminator_filters": 64,
    "pixel.gan_source_to_target": 2.0,
    "pixel.gan_target_to_source": 1.0,
    "pixel.cycle": 1.0,
    "pixel.identity": 0.0,
    "pixel.semantic": "paper",
    "pixel.pool": 50,
    "pixel.average": 0.0,
    "feature.epochs": 200,
    "feature.lr": 1e-5,
    "feature.discriminator_lr": 1e-5,
    "feature.hidden": 500,
    "feature.gate": 0.6,
}


def test_the_paper_preset() -> None:
    """Training on digits as text and released code have it (appendix A.1)."""
    values = flat(resolve(CyCADA, "paper", {}))
    assert {key: values[key] for key in PAPER} == PAPER
    assert all(v is None for k, v in values.items() if k.endswith("max_steps"))


PAPER_SCENES = {
    "source.batch": 1,
    "source.lr": 1e-3,
    "source.optimizer": "sgd",
    "source.momentum": 0.99,
    "source.weight_decay": 5e-4,
    "source.schedule": "constant",
    "source.crop": None,
    "pixel.batch": 1,
    "pixel.crop": 400,
    "pixel.size": None,
    "pixel.generator": "resnet",
    "pixel.filters": 64,
    "pixel.blocks": 9,
    "pixel.gan_source_to_target": 1.0,
    "pixel.gan_target_to_source": 1.0,
    "pixel.cycle": 10.0,
    "pixel.identity": 0.0,
    "pixel.semantic": "none",
    "feature.batch": 1,
    "feature.lr": 1e-5,
    "feature.discriminator_lr": 1e-5,
    "feature.optimizer": "sgd",
    "feature.momentum": 0.99,
    "feature.weight_decay": 5e-4,
    "feature.max_steps": 100_000,
    "feature.crop": 768,
    "feature.hidden": 512,
    "feature.gate": 0.6,
    "feature.gate_window": 100,
    "feature.shared": True,
    "feature.gan": 0.1,
    "feature.supervised": 1.0,
}


def test_the_paper_preset_for_scenes() -> None:
    """Training on driving scenes as text and released code have it (appendix A.1.2)."""
    values = flat(resolve(CyCADA, "paper", {}, "segmentation"))
    assert {key: values[key] for key in PAPER_SCENES} == PAPER_SCENES


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_for_scenes_has_a_semantic_loss(preset: str) -> None:
    assert resolve(CyCADA, preset, {}, "segmentation").pixel.semantic == "none"  # type: ignore[union-attr]


def parameters(module: nn.Module) -> int:
    return sum(w.numel() for w in module.parameters())


@pytest.mark.parametrize(("channels", "count"), [(1, 11_365_633), (3, 11_378_179)])
def test_the_paper_s_generators(channels: int, count: int) -> None:
    with torch.device("meta"):  # shapes without numbers
        translator = ImageTranslator(Pixel(), channels)
    assert parameters(translator.source_to_target) == count
    assert parameters(translator.target_to_source) == count
    assert parameters(translator) == 2 * count


def test_the_paper_s_discriminators() -> None:
    how, feature = Pixel(), Feature()
    with torch.device("meta"):
        patches = PatchDiscriminator(3, how.discriminator_filters, how.discriminator_layers)
        on_scores = ScoreDiscriminator(10, feature.hidden)
    assert parameters(patches) == 2_764_737
    layers = [tuple(w.shape) for w in on_scores.parameters() if w.dim() == 2]
    assert layers == [(500, 10), (500, 500), (2, 500)]


@pytest.mark.parametrize(
    ("name", "channels", "size", "count"),
    [("lenet", 1, 28, 431_080), ("dtn", 3, 32, 3_133_962)],
)
def test_the_paper_s_task_networks(name: str, channels: int, size: int, count: int) -> None:
    net = backbones.build(name, classes=10, channels=channels, size=size)
    assert parameters(net) == count


def test_methods_are_values() -> None:
    """They name a run: equal parameters are equal methods."""
    assert CyCADA() == CyCADA(Classifier(), Pixel(), Feature())
    assert replace(CyCADA(), pixel=None) == CyCADA(pixel=None)
    assert CyCADA(source=Classifier(lr=1e-3)) != CyCADA()
