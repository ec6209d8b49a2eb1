"""Class lists against Cityscapes' own, and protocols against what papers average."""

from __future__ import annotations

import numpy as np
import pytest

from bench.classes import (
    CAMVID,
    CITYSCAPES,
    CLASS_LISTS,
    IGNORED,
    PROTOCOLS,
    SYNTHIA13,
    SYNTHIA16,
    UNKNOWN,
    ClassList,
    cityscapes_ids,
    protocol,
)
from bench.errors import BenchError

# Classes that are told apart, and classes that are averaged, of protocols on Cityscapes' labels.
SIZES = {
    "cityscapes-19": (19, 19),
    "synthia-16": (16, 16),
    "synthia-13-of-16": (16, 13),
    "synthia-13": (13, 13),
    "camvid-11": (11, 11),
}


def test_cityscapes_is_what_its_own_scripts_say() -> None:
    scripts = pytest.importorskip("cityscapesscripts.helpers.labels")
    theirs = {label.name: label for label in scripts.labels if label.id >= 0}
    assert {label.name for label in CITYSCAPES.labels} == set(theirs)
    for label in CITYSCAPES.labels:
        official = theirs[label.name]
        assert (label.id, label.colour) == (official.id, official.color)
        assert label.train_id == official.trainId
        assert label.evaluated != official.ignoreInEval
    by_index = [theirs[name].trainId for name in CITYSCAPES.names]
    assert by_index == list(range(19))


@pytest.mark.parametrize(
    ("classes", "count"), [(CITYSCAPES, 19), (SYNTHIA16, 16), (SYNTHIA13, 13), (CAMVID, 11)]
)
def test_every_value_of_every_list_means_something_definite(classes: ClassList, count: int) -> None:
    assert len(classes) == len(set(classes.names)) == len(set(classes.colours)) == count
    assert CLASS_LISTS[classes.name] is classes
    for table, value in ((classes.by_id(), "id"), (classes.by_train_id(), "train_id")):
        known = {getattr(label, value) for label in classes.labels} | {IGNORED}
        assert set(np.flatnonzero(table != UNKNOWN)) == known
        places = [getattr(label, value) for label in classes.evaluated]
        assert table[places].tolist() == list(range(count))
        assert np.count_nonzero(table < count) == count


def test_synthia_leaves_out_what_papers_leave_out() -> None:
    left = set(CITYSCAPES.names) - set(SYNTHIA16.names)
    assert left == {"terrain", "truck", "train"}
    assert set(SYNTHIA16.names) - set(SYNTHIA13.names) == {"wall", "fence", "pole"}
    terrain = next(label for label in SYNTHIA16.labels if label.name == "terrain")
    assert SYNTHIA16.by_id()[terrain.id] == SYNTHIA16.by_train_id()[terrain.train_id] == IGNORED


def test_protocols_average_classes_that_they_have() -> None:
    sizes = {name: (len(p.classes), len(p.averaged)) for name, p in PROTOCOLS.items()}
    assert sizes.items() >= SIZES.items()
    for each in PROTOCOLS.values():
        assert set(each.averaged) <= set(each.classes.names)
    with pytest.raises(BenchError, match="Did you mean 'cityscapes-19'"):
        protocol("cityscapes19")


@pytest.mark.parametrize("name", SIZES)
def test_cityscapes_ids_reach_every_class_of_a_protocol(name: str) -> None:
    table = cityscapes_ids(name)
    known = {label.id for label in CITYSCAPES.labels} | {IGNORED}
    assert set(np.flatnonzero(table != UNKNOWN)) == known
    assert set(table) - {IGNORED, UNKNOWN} == set(range(len(protocol(name).classes)))
