"""Precision, compiled kernels, and what is said where numbers may not repeat."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from bench.arithmetic import Arithmetic, check_compiler, noting, plain
from bench.context import Context
from bench.errors import BenchError
from bench.modes import in_float32
from bench.request import Request
from bench.schema import check
from bench.stages import StageStore
from bench.sweep import sweep
from bench.task import Images, LabeledImages
from cycada.discriminators import PatchDiscriminator
from cycada.generators import UnshuffleGenerator
from cycada.pixel_stage import Pixel
from cycada.semantics import judge
from cycada.translator import ImageTranslator

if TYPE_CHECKING:
    from collections.abc import Mapping

CPU = torch.device("cpu")
PLUGINS = Path(__file__).parent / "plugins"


class Tiny(nn.Module):
    """A task network with batch norm, for images of 2x2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def classify(self, f: Tensor) -> Tensor:
        return self.head(f)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))


def context(folder: Path, **changed: Any) -> Context:
    given_: dict[str, Any] = {
        "seed": 0,
        "device": CPU,
        "network": Tiny,
        "workspace": folder / "work",
        "store": StageStore(folder / "stages"),
        "identity": "identity",
        "budget": 1_000,
    }
    return Context(**(given_ | changed))


def images(n: int = 32) -> LabeledImages:
    pixels = torch.randint(
        0, 256, (n, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return LabeledImages(pixels, torch.arange(n) % 3, "source")


def trained(ctx: Context, seen: list[Any] | None = None, steps: int = 30) -> nn.Module:
    """Train a `Tiny` by Adam; note what each step's logits are."""

    def train(net: nn.Module) -> None:
        optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        for step in ctx.steps(steps, {"optimizer": optimizer}):
            x, y = step.batch(images(), 16)
            logits = net(x)
            loss = nn.functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if seen is not None:
                seen.append((logits.dtype, loss.item()))
        if seen is not None:
            seen.extend(v.dtype for s in optimizer.state.values() for v in s.values())

    with ctx.fitting():
        return ctx.stage("a", params=steps, build=ctx.network, train=train)


# ------------------------------------------------------------------ precision


def test_float32_is_what_it_was(tmp_path: Path) -> None:
    seen: list[Any] = []
    ctx = context(tmp_path)
    trained(ctx, seen)
    assert {dtype for dtype, _ in seen[:30]} == {torch.float32}
    assert ctx.nondeterministic == []


def test_bf16_multiplies_in_bf16_and_keeps_all_else_in_float32(tmp_path: Path) -> None:
    seen: list[Any] = []
    ctx = context(tmp_path, precision="bf16")
    net = trained(ctx, seen)
    assert {dtype for dtype, _ in seen[:30]} == {torch.bfloat16}
    assert set(seen[30:]) == {torch.float32}
    floats = {v.dtype for v in net.state_dict().values() if v.is_floating_point()}
    assert floats == {torch.float32}
    assert net(torch.zeros(1, 1, 2, 2)).dtype == torch.float32  # after training
    (said,) = ctx.nondeterministic
    assert said.startswith("bf16: ")


def test_bf16_sees_the_weights_as_the_optimiser_left_them(tmp_path: Path) -> None:
    """A cache of cast weights that outlives a step would train on stale ones."""
    exact: list[Any] = []
    rough: list[Any] = []
    trained(context(tmp_path / "a"), exact, 60)
    trained(context(tmp_path / "b", precision="bf16"), rough, 60)
    for (_, expected), (_, found) in zip(exact[:60], rough[:60], strict=True):
        assert found == pytest.approx(expected, rel=0.1)
    assert rough[59][1] < 0.8 * rough[0][1]
    assert [loss for _, loss in rough[:60]] != [loss for _, loss in exact[:60]]


def test_those_who_look_on_see_float32(tmp_path: Path) -> None:
    seen = []

    def look(_: int, __: int, net: nn.Module) -> None:
        seen.append(net(torch.zeros(2, 1, 2, 2)).dtype)

    trained(context(tmp_path, precision="bf16", on_candidate=look))
    assert seen == [torch.float32] * 5


class Double(nn.Module):
    """A translator of one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(self.body.weight, 0.7071)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def test_images_are_translated_in_float32() -> None:
    expected = images().translated(Double())
    with torch.autocast("cpu", torch.bfloat16):
        found = images().translated(Double())
    assert isinstance(found.pixels, Tensor)
    assert isinstance(expected.pixels, Tensor)
    assert torch.equal(found.pixels, expected.pixels)


def test_float32_within_bf16() -> None:
    x = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with in_float32(CPU):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16
    assert (x @ x).dtype == torch.float32


# ------------------------------------------------------------------ compiled kernels


@pytest.fixture(scope="module")
def compiler() -> Arithmetic:
    try:
        check_compiler(CPU)
    except BenchError as error:
        pytest.skip(str(error))
    return Arithmetic(CPU, compiled=True)


# dynamo asks a tensor that is no leaf for its gradient, and hides the warning of that in a way that
# a filter of errors goes past.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_network_is_the_same_network(compiler: Arithmetic) -> None:
    net = Tiny()
    reference, x = copy.deepcopy(net), torch.randn(8, 1, 2, 2)
    assert compiler.placed(net) is net
    assert isinstance(net, Tiny)
    assert type(net) is not Tiny
    assert type(net).__name__ == "Tiny"
    assert list(net.state_dict()) == list(reference.state_dict())
    assert list(vars(net)) == list(vars(reference))
    for part in (net, reference):
        part(x).sum().backward()
    torch.testing.assert_close(net(x), reference(x))
    torch.testing.assert_close(net.classify(net.features(x)), reference(x))
    torch.testing.assert_close(net.trunk[1].weight.grad, reference.trunk[1].weight.grad)
    # Batch norm counted on, and evaluation mode is another kernel.
    torch.testing.assert_close(net.trunk[2].running_mean, reference.trunk[2].running_mean)
    torch.testing.assert_close(net.eval()(x), reference.eval()(x))


def test_a_copy_computes_with_its_own_weights(compiler: Arithmetic) -> None:
    net, x = compiler.placed(Tiny()).eval(), torch.randn(4, 1, 2, 2)
    before = net(x)
    other = copy.deepcopy(net)
    assert type(other) is type(net)
    with torch.no_grad():
        other.head.bias.add_(1.0)
    torch.testing.assert_close(other(x), before + 1)
    torch.testing.assert_close(net(x), before)
    assert compiler.placed(other) is other  # once more changes nothing
    assert type(other) is type(net)


def test_gradients_pass_a_compiled_judge(compiler: Arithmetic) -> None:
    """`judge` calls a network with other weights than its own."""
    net, x = compiler.placed(Tiny()), torch.randn(4, 1, 2, 2, requires_grad=True)
    judge(net, x).square().sum().backward()
    assert x.grad is not None
    assert net.head.weight.grad is None
    other = x.detach().clone().requires_grad_()
    judge(plain(copy.deepcopy(net)), other).square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_who_looks_on_sees_torchs_own_kernels(compiler: Arithmetic) -> None:
    net = compiler.placed(Tiny())
    compiled = type(net)
    with compiler.exact(net):
        assert type(net) is Tiny
    assert type(net) is compiled
    assert plain(net) is net
    assert type(net) is Tiny


def test_what_methods_call_is_compiled() -> None:
    """The generators and discriminators of the pixel stage are called one by one."""
    how = Pixel(generator="unshuffle", filters=4, blocks=1, size=None)
    placed = Arithmetic(CPU, compiled=True).placed
    translator = placed(ImageTranslator(how, 1))
    assert type(translator) is not ImageTranslator
    for generator in (translator.source_to_target, translator.target_to_source):
        assert isinstance(generator, UnshuffleGenerator)
        assert type(generator) is not UnshuffleGenerator
    pair = placed(nn.ModuleList([PatchDiscriminator(1, 4, 1)]))
    assert type(pair) is nn.ModuleList
    assert type(pair[0]) is not PatchDiscriminator
    assert type(placed(Tiny()).trunk) is nn.Sequential


def test_compiled_training_is_eager_training_to_rounding(
    compiler: Arithmetic, tmp_path: Path
) -> None:
    assert compiler.compiled
    seen: dict[bool, list[Any]] = {False: [], True: []}
    for compiled, losses in seen.items():
        ctx = context(tmp_path / str(compiled), compiled=compiled)
        net = trained(ctx, losses)
        assert type(net) is Tiny
        assert [said.split(":")[0] for said in ctx.nondeterministic] == (
            ["compiled kernels"] if compiled else []
        )
    for (_, expected), (_, found) in zip(seen[False][:30], seen[True][:30], strict=True):
        assert found == pytest.approx(expected, rel=1e-3)


def test_without_a_compiler_one_sentence_says_so(tmp_path: Path) -> None:
    code = """
import torch
from bench.arithmetic import check_compiler
from bench.errors import BenchError
try:
    check_compiler(torch.device("cpu"))
except BenchError as error:
    print(error)
"""
    none = {"CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | none,
    ).stdout
    assert said.startswith("--compile does not work on this machine (")
    assert "Leave --compile out." in said


# ------------------------------------------------------------------ determinism


def test_operations_that_are_not_deterministic_are_noted_once_and_not_shown(
    tmp_path: Path,
) -> None:
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    ctx = context(tmp_path)

    def train(_: nn.Module) -> None:
        for _step in ctx.steps(3):
            torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))

    try:
        with ctx.fitting():
            ctx.stage("a", params=0, build=ctx.network, train=train)
    finally:
        torch.use_deterministic_algorithms(mode=False)
    assert ctx.nondeterministic == ["put_: torch has no deterministic implementation of it"]
    # From the cache, too.
    again = context(tmp_path)
    with again.fitting():
        again.stage("a", params=0, build=again.network, train=train)
    assert again.stages[0].cached
    assert again.nondeterministic == ctx.nondeterministic


def test_other_warnings_are_left_alone() -> None:
    seen: list[str] = []
    with pytest.warns(UserWarning, match="mind the gap"), noting(seen.append):
        warnings.warn("mind the gap", stacklevel=1)
    assert seen == []


# ------------------------------------------------------------------ in a record, and in a table


def run(runs: Path, **changed: Any) -> tuple[Mapping[str, Any], str]:
    asked: dict[str, Any] = {
        "suite": f"{PLUGINS / 'toy_suite.py'}:TOY",
        "methods": ("source-only",),
        "seeds": (0,),
        "preset": "smoke",
        "threads": 1,
        "device": "cpu",
        "runs": runs,
    }
    report = sweep(Request(**(asked | changed)))
    (outcome,) = report.outcomes
    return json.loads((runs / outcome["run_id"] / "run.json").read_text()), report.text


def test_a_record_and_a_table_say_in_what_a_trial_trained(tmp_path: Path) -> None:
    usual, _ = run(tmp_path)
    rough, table = run(tmp_path, precision="bf16")
    assert (usual["config"]["precision"], usual["nondeterministic"]) == ("float32", [])
    assert rough["config"]["precision"] == "bf16"
    assert rough["run_id"] != usual["run_id"]
    assert rough["stages"][0]["key"] != usual["stages"][0]["key"]
    headings = [line for line in table.splitlines() if "initial weights" in line]
    assert [heading.endswith("trained in bf16") for heading in headings] == [True, False]


@pytest.mark.parametrize("wrong", [{"compile": "yes"}, {"processes": 1.5}, {"processes": True}])
def test_a_record_of_another_kind_of_arithmetic_is_refused(
    wrong: dict[str, Any], tmp_path: Path
) -> None:
    record, _ = run(tmp_path)
    check(dict(record), "here")
    with pytest.raises(BenchError, match=r"here: config.compile or config.processes is malformed"):
        check({**record, "config": record["config"] | wrong}, "here")


def test_an_unknown_precision_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="Unknown precision 'bf1'. Did you mean 'bf16'"):
        run(tmp_path, precision="bf1")


def test_translated_images_of_a_domain_stay_what_they_are() -> None:
    unlabelled = Images(images().pixels, "target")
    with torch.autocast("cpu", torch.bfloat16):
        assert unlabelled[torch.tensor([0])].dtype == torch.float32
