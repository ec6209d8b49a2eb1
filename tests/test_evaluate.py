"""Reading label maps, and scores of files against Cityscapes' own script."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from bench import evaluate as module
from bench import kernels
from bench.classes import CAMVID, CITYSCAPES, IGNORED, SYNTHIA13, SYNTHIA16, ClassList, Label
from bench.errors import BenchError, MissingDataError
from bench.evaluate import count_pair, evaluate
from bench.label_maps import LabelReader
from bench.metrics import count, iou, mean_iou
from bench.pairing import Pair, pair

if TYPE_CHECKING:
    from pathlib import Path

IDS = sorted(label.id for label in CITYSCAPES.labels)


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(
    width: int, height: int, bits: int, kind: int, raw: bytes, *extra: bytes, interlaced: int = 0
) -> bytes:
    """Return a PNG file with any header, true or not."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    body = chunk(b"IDAT", zlib.compress(raw))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + b"".join(extra) + body + chunk(b"IEND", b"")


def blobs(rng: np.random.Generator, values: list[int], shape: tuple[int, int]) -> np.ndarray:
    """Return a map of flat patches with some noise, as label maps are."""
    coarse = rng.choice(values, (-(-shape[0] // 8), -(-shape[1] // 8))).astype(np.uint8)
    fine = np.kron(coarse, np.ones((8, 8), np.uint8))[: shape[0], : shape[1]].copy()
    noise = rng.random(shape) < 0.1
    fine[noise] = rng.choice(values, int(noise.sum()))
    return fine


def cityscapes_files(root: Path, images: int, seed: int = 0) -> tuple[Path, Path]:
    """Write ground truth and predictions with every id, evaluated or not, in both."""
    rng = np.random.default_rng(seed)
    shape = (37, 75)
    for number in range(images):
        name = f"ulm_{number:06}_000019"
        truth = blobs(rng, IDS, shape)
        right = rng.random(shape) < 0.6
        guess = np.where(right, truth, blobs(rng, IDS, shape))
        save(root / "gt" / "ulm" / f"{name}_gtFine_labelIds.png", truth)
        save(root / "pred" / f"{name}_pred.png", guess)
    return root / "pred", root / "gt"


def official(pairs: list[Pair]) -> dict[str, Any]:
    """Score by Cityscapes' own script, its instance scores off."""
    script = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
        reason="cityscapesscripts is not installed: nothing to compare with",
    )
    script.args.evalInstLevelScore = False
    script.args.JSONOutput = False
    script.args.quiet = True
    predictions, truths = zip(*((str(p.prediction), str(p.truth)) for p in pairs), strict=True)
    with contextlib.redirect_stdout(io.StringIO()):
        return script.evaluateImgLists(list(predictions), list(truths), script.args)


def read(reader: LabelReader, path: Path) -> np.ndarray:
    return reader.read(path, reader.header(path))


@pytest.fixture(params=[0, 1000], ids=["compiled", "plain"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a test does twice: with compiled loops, and without."""
    monkeypatch.setattr(module, "FEW", request.param)


@pytest.mark.usefixtures("_both_ways")
def test_ious_are_those_of_cityscapes_own_script(tmp_path: Path) -> None:
    pairs = pair(*cityscapes_files(tmp_path, images=5))
    counts = evaluate(pairs, CITYSCAPES)
    theirs = official(pairs)
    shares = iou(counts.matrix, counts.void)
    for name, share in zip(CITYSCAPES.names, shares, strict=True):
        assert share == pytest.approx(theirs["classScores"][name], abs=1e-9)
    average = mean_iou(counts.matrix, counts.void)
    assert average == pytest.approx(theirs["averageScoreClasses"], abs=1e-9)
    matrix = np.array(theirs["confMatrix"], dtype=np.int64)
    kept = [label.id for label in CITYSCAPES.evaluated]
    np.testing.assert_array_equal(counts.matrix, matrix[np.ix_(kept, kept)])
    others = [number for number in IDS if number not in kept]
    np.testing.assert_array_equal(counts.void, matrix[np.ix_(kept, others)].sum(axis=1))
    assert counts.void.min() > 0


def test_a_class_that_occurs_nowhere_is_none_of_theirs_either(tmp_path: Path) -> None:
    truth = np.full((8, 8), 7, np.uint8)
    guess = truth.copy()
    guess[0] = 26
    guess[1] = 4
    found = Pair(save(tmp_path / "t.png", truth), save(tmp_path / "p.png", guess))
    counts = evaluate([found], CITYSCAPES)
    theirs = official([found])["classScores"]
    expected = [theirs[name] for name in CITYSCAPES.names]
    np.testing.assert_array_equal(iou(counts.matrix, counts.void), expected)
    assert mean_iou(counts.matrix, counts.void) == 0.75 / 2


@pytest.mark.parametrize("classes", [CITYSCAPES, SYNTHIA16, SYNTHIA13], ids=lambda c: c.name)
def test_all_encodings_say_the_same(tmp_path: Path, classes: ClassList) -> None:
    rng = np.random.default_rng(1)
    # Only known colours and train ids: a void id has neither, or shares it.
    truth = rng.choice([label.id for label in CITYSCAPES.evaluated], (9, 20)).astype(np.uint8)
    guess = rng.permuted(truth)
    train = {label.id: label.train_id for label in CITYSCAPES.labels}
    colour = {label.id: label.colour for label in CITYSCAPES.labels}
    expected = count(classes.by_id()[truth], classes.by_id()[guess], len(classes))
    assert expected.matrix.sum() + expected.void.sum() > 0
    truth_file = save(tmp_path / "truth.png", truth)
    files = {
        "labelIds": save(tmp_path / "ids.png", guess),
        "trainIds": save(tmp_path / "train.png", np.vectorize(train.get)(guess).astype(np.uint8)),
    }
    pixels = np.array([colour[value] for value in guess.ravel()], np.uint8).reshape(9, 20, 3)
    files["color"] = save(tmp_path / "colour.png", pixels)
    see_through = np.dstack([pixels, rng.integers(0, 255, (9, 20, 1))]).astype(np.uint8)
    variants = [
        *files.items(),
        ("color", save(tmp_path / "rgba.png", see_through)),
        ("color", save(tmp_path / "palette.png", pixels, "P")),
    ]
    quantised = Image.fromarray(pixels).quantize(32)
    if np.array_equal(np.asarray(quantised.convert("RGB")), pixels):
        quantised.save(tmp_path / "palette.png")
    else:
        variants.pop()
    for encoding, file in variants:
        found = evaluate([Pair(truth_file, file)], classes, encoding=encoding)
        np.testing.assert_array_equal(found.matrix, expected.matrix)
        np.testing.assert_array_equal(found.void, expected.void)
        back = evaluate([Pair(file, truth_file)], classes, truth_encoding=encoding)
        np.testing.assert_array_equal(back.matrix, expected.matrix.T)


def test_a_palette_is_its_values_whatever_its_colours_and_bits(tmp_path: Path) -> None:
    values = np.array([[0, 1, 10], [11, 3, 2]], np.uint8)
    for bits in (4, 8):
        image = Image.fromarray(values).convert("P")
        image.putpalette([5, 5, 5] * 256)
        image.save(tmp_path / "p.png", bits=bits)
        for compiled in (True, False):
            reader = LabelReader(CAMVID, "labelIds", compiled)
            np.testing.assert_array_equal(read(reader, tmp_path / "p.png"), values)


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, None])
def test_all_of_pngs_filters_are_undone_as_pillow_does(tmp_path: Path, kind: int | None) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "p.png"
    for spread in (2, 256):
        for height, width in [(1, 1), (1, 9), (9, 1), (40, 33)]:
            raw = rng.integers(0, spread, (height, width + 1)).astype(np.uint8)
            raw[rng.random(raw.shape) < 0.5] = 0
            raw[:, 0] = rng.integers(0, 5, height) if kind is None else kind
            path.write_bytes(png(width, height, 8, 0, raw.tobytes()))
            plain, compiled = (LabelReader(CAMVID, "labelIds", way) for way in (False, True))
            np.testing.assert_array_equal(read(compiled, path), read(plain, path))
            looped = np.empty((height, width), np.uint8)
            with np.errstate(all="ignore"):
                assert kernels.unfilter(raw, looped)
            np.testing.assert_array_equal(looped, read(plain, path))


def test_pole_has_the_colour_that_polegroup_shares(tmp_path: Path) -> None:
    file = save(tmp_path / "p.png", np.full((2, 2, 3), 153, np.uint8))
    index = CITYSCAPES.names.index("pole")
    assert (read(LabelReader(CITYSCAPES, "color"), file) == index).all()
    assert (read(LabelReader(SYNTHIA13, "color"), file) == IGNORED).all()


def test_classes_of_one_colour_have_no_files_of_colours() -> None:
    twins = ClassList("twins", (Label("a", 0, 0, (1, 2, 3)), Label("b", 1, 1, (1, 2, 3))))
    assert LabelReader(twins, "labelIds").colours is None
    with pytest.raises(BenchError, match="twins: 'a' and 'b' have the same colour"):
        LabelReader(twins, "color")


def test_an_unknown_encoding() -> None:
    with pytest.raises(BenchError, match="Unknown encoding 'labelids'. Did you mean 'labelIds'"):
        LabelReader(CAMVID, "labelids")


# ------------------------------------------------------------------ bad input


def scored(tmp_path: Path, guess: Path, encoding: str = "labelIds") -> None:
    truth = save(tmp_path / "truth.png", np.zeros((4, 6), np.uint8))
    evaluate([Pair(truth, guess)], CAMVID, encoding=encoding)


def test_every_bad_file_is_named(tmp_path: Path) -> None:
    truths = [save(tmp_path / f"t{i}.png", np.zeros((4, 6), np.uint8)) for i in range(5)]
    guesses = [save(tmp_path / f"p{i}.png", np.zeros((4, 6), np.uint8)) for i in range(5)]
    save(guesses[1], np.zeros((6, 4), np.uint8))
    guesses[3].write_bytes(guesses[3].read_bytes()[:-20])
    save(truths[4], np.full((4, 6), 77, np.uint8))
    pairs = [Pair(t, p) for t, p in zip(truths, guesses, strict=True)]
    with pytest.raises(BenchError) as caught:
        evaluate(pairs, CAMVID)
    first, *rest = str(caught.value).splitlines()
    assert first == "3 of 5 pairs cannot be scored:"
    assert rest[0] == f"  {guesses[1]} is 4x6 pixels; expected 6x4, as {truths[1]} is."
    assert rest[1].startswith(f"  {guesses[3]} is truncated or damaged")
    assert rest[2] == (
        f"  {guesses[4]} against {truths[4]}: expected each value of the ground truth to be one of"
        " 0..11, 255, got 77 (24 pixels)"
    )


def test_bad_files_are_listed_in_order_whoever_read_them(tmp_path: Path) -> None:
    truth = save(tmp_path / "truth.png", np.zeros((4, 6), np.uint8))
    guesses = [save(tmp_path / f"{i:02}.png", np.zeros((6, 4), np.uint8)) for i in range(60)]
    pairs = [Pair(truth, guess) for guess in guesses]
    with pytest.raises(BenchError) as caught:
        evaluate(pairs, CAMVID, threads=3, on_image=lambda: time.sleep(0.001))  # let all have some
    listed = [line.split()[0] for line in str(caught.value).splitlines()[1:]]
    assert listed == [str(guess) for guess in guesses]


def test_an_unknown_prediction_is_an_error_under_ignored_ground_truth_too(tmp_path: Path) -> None:
    truth = save(tmp_path / "t.png", np.full((4, 6), 11, np.uint8))
    guess = save(tmp_path / "p.png", np.full((4, 6), 12, np.uint8))
    with pytest.raises(BenchError, match=r"value of the prediction .* got 12 \(24 pixels\)"):
        evaluate([Pair(truth, guess)], CAMVID)


def test_an_unknown_colour_is_named(tmp_path: Path) -> None:
    pixels = np.full((4, 6, 3), (128, 64, 128), np.uint8)
    pixels[0, 0] = (1, 2, 3)
    guess = save(tmp_path / "guess.png", pixels)
    with pytest.raises(BenchError, match=r"guess.png: .* got \(1, 2, 3\) \(1 pixels\)\."):
        scored(tmp_path, guess, "color")


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_a_file_cut_or_changed_anywhere_is_an_error(
    tmp_path: Path, *, wide: bool, compiled: bool
) -> None:
    rng = np.random.default_rng(0)
    shape = (64, 64) if wide else (4, 6)
    truth = save(tmp_path / "t.png", np.zeros(shape, np.uint8))
    guess = save(tmp_path / "p.png", rng.integers(0, 12, shape, dtype=np.uint8))
    whole = guess.read_bytes()
    readers = [LabelReader(CAMVID, "labelIds", compiled)] * 2
    found = Pair(truth, guess)
    for cut in range(0, len(whole), 37 if wide else 1):
        guess.write_bytes(whole[:cut])
        with pytest.raises(MissingDataError, match="p.png"):
            count_pair(found, *readers)
    for place in range(8, len(whole), 37 if wide else 1):
        guess.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(BenchError, match="p.png"):
            count_pair(found, *readers)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged or no PNG"),
        (b"\xff\xd8\xff\xe0 a JPEG file, for all that its name says", "damaged or no PNG"),
        (png(6, 4, 16, 0, b"\0" * 52), "16-bit grey; expected 8-bit grey or a palette"),
        (png(6, 4, 4, 0, b"\0" * 16), "4-bit grey; expected 8-bit grey"),
        (png(6, 4, 8, 2, b"\0" * 76), "8-bit RGB; expected 8-bit grey"),
        (png(6, 4, 8, 4, b"\0" * 52), "grey with transparency; expected 8-bit grey"),
        (png(0, 4, 8, 0, b""), "claims to be 0x4 pixels"),
        (png(1 << 30, 1 << 30, 8, 0, b""), "claims to be 1073741824x1073741824 pixels; expected"),
        (png(6, 4, 8, 0, b"\0" * 14), r"damaged \(14 bytes of pixels are missing"),
        (png(6, 4, 8, 0, b"\0" * 7 * 4, interlaced=1), "8-bit grey, interlaced; expected 8-bit"),
        (png(6, 4, 8, 0, b"\x09" * 28), "truncated or damaged"),
    ],
)
def test_what_is_no_such_label_map(tmp_path: Path, content: bytes, said: str) -> None:
    guess = tmp_path / "guess.png"
    guess.write_bytes(content)
    with pytest.raises(BenchError, match=said) as caught:
        scored(tmp_path, guess)
    assert str(guess) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(6, 4, 16, 2, b"\0" * 148), "16-bit RGB; expected 8-bit RGB"),
        (png(6, 4, 8, 0, b"\0" * 28), "8-bit grey; expected 8-bit RGB or a palette"),
        (png(6, 4, 8, 2, b"\0" * 57), r"damaged \(19 bytes of pixels are missing"),
        (png(6, 4, 8, 2, b"\0" * 75), "truncated or damaged"),
        (
            png(6, 4, 8, 3, b"\0\0\0\0\0\0\1" * 4, chunk(b"PLTE", b"\0\0\0")),
            "a pixel is none of the palette's colours",
        ),
    ],
)
def test_what_is_no_picture_of_colours(tmp_path: Path, content: bytes, said: str) -> None:
    guess = tmp_path / "guess.png"
    guess.write_bytes(content)
    with pytest.raises(BenchError, match=said):
        scored(tmp_path, guess, "color")


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("rows", range(4))
@pytest.mark.parametrize("value", [0, 3])
def test_rows_that_a_whole_file_lacks_are_missed(tmp_path: Path, rows: int, value: int) -> None:
    raw = b"\0" + bytes([value]) * 6
    guess = tmp_path / "guess.png"
    guess.write_bytes(png(6, 4, 8, 0, raw * 4))
    scored(tmp_path, guess)
    guess.write_bytes(png(6, 4, 8, 0, raw * rows))
    with pytest.raises(BenchError, match=r"guess.png is truncated or damaged"):
        scored(tmp_path, guess)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none.png cannot be read \(No such file"):
        scored(tmp_path, tmp_path / "none.png")


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("side", [8000, 30000], ids=["within the limit", "over it"])
def test_an_image_that_claims_to_be_enormous_takes_no_memory(tmp_path: Path, side: int) -> None:
    guess = tmp_path / "guess.png"
    guess.write_bytes(png(side, side, 8, 0, b"\0" * 1000))
    tracemalloc.start()
    with pytest.raises(BenchError, match=f"{side}x{side}"):
        scored(tmp_path, guess)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.usefixtures("_both_ways")
def test_pixels_beyond_the_last_row_take_no_memory(tmp_path: Path) -> None:
    guess = tmp_path / "guess.png"
    guess.write_bytes(png(6, 4, 8, 0, b"\0" * (1 << 26)))
    tracemalloc.start()
    scored(tmp_path, guess)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


# ------------------------------------------------------------------ many files


def test_order_and_threads_change_nothing(tmp_path: Path) -> None:
    pairs = pair(*cityscapes_files(tmp_path, images=7, seed=3))
    whole = evaluate(pairs, CITYSCAPES, threads=1)
    for threads in (2, 3, 50):
        found = evaluate(pairs[::-1], CITYSCAPES, threads=threads)
        np.testing.assert_array_equal(found.matrix, whole.matrix)
        np.testing.assert_array_equal(found.void, whole.void)
    parts = [evaluate([each], CITYSCAPES, threads=1) for each in pairs]
    np.testing.assert_array_equal(sum(part.matrix for part in parts), whole.matrix)


def test_it_reports_each_pair_and_none_twice(tmp_path: Path) -> None:
    pairs = pair(*cityscapes_files(tmp_path, images=4))
    ticks: list[int] = []
    evaluate(pairs, CITYSCAPES, on_image=lambda: ticks.append(1))
    assert len(ticks) == 4
    assert evaluate([], CITYSCAPES).matrix.sum() == 0


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    (found,) = pair(*cityscapes_files(tmp_path, images=1))
    peaks = []
    for number in (5, 10, 200):
        tracemalloc.start()
        evaluate([found] * number, CITYSCAPES, threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + (1 << 17)


def test_what_is_no_mistake_of_the_user_stops_everything(tmp_path: Path) -> None:
    pairs = pair(*cityscapes_files(tmp_path, images=1)) * 500
    ticks = []

    def broken() -> None:
        ticks.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate(pairs, CITYSCAPES, threads=1, on_image=broken)
    assert len(ticks) == 1

    def broken_once() -> None:
        ticks.append(1)
        if len(ticks) == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate(pairs, CITYSCAPES, threads=2, on_image=broken_once)
    assert len(ticks) < 250
