"""The classes of segmentation: their names, values in label files, and colours, by protocol.

A *class list* has every label that may stand in a file. Some of them are evaluated, and have an
index 0..k-1 in the order of the list; the others are known but not evaluated. Where the ground
truth shows one of those, the pixel is ignored; where a prediction does, it is a miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Lut = NDArray[np.uint8]

IGNORED = 255
"""Index of a label that is known but not evaluated; also what label files call "no label"."""

UNKNOWN = 254
"""Index of a value that no label of a list has: an error wherever it turns up."""


@dataclass(frozen=True)
class Label:
    """One label of a class list.

    Attributes:
        name: as in tables.
        id: its value in files of ``labelIds``.
        train_id: its value in files of ``trainIds``; 255 if it has none.
        colour: red, green, blue, 0..255, in files of ``color`` and in our pictures.
        evaluated: whether it counts.
    """

    name: str
    id: int
    train_id: int
    colour: tuple[int, int, int]
    evaluated: bool = True


@dataclass(frozen=True)
class ClassList:
    """The labels of one evaluation; its length k is the number of evaluated ones.

    >>> len(CITYSCAPES), CITYSCAPES.names[:2]
    (19, ('road', 'sidewalk'))
    """

    name: str
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        """Return the number of evaluated classes k."""
        return len(self.evaluated)

    @cached_property
    def evaluated(self) -> tuple[Label, ...]:
        """The evaluated labels; the position of each is its index."""
        return tuple(label for label in self.labels if label.evaluated)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the evaluated classes."""
        return tuple(label.name for label in self.evaluated)

    @property
    def colours(self) -> tuple[tuple[int, int, int], ...]:
        """Colours of the evaluated classes."""
        return tuple(label.colour for label in self.evaluated)

    def by_id(self) -> Lut:
        """Return uint8 (256,): value in a file of ``labelIds`` to index, `IGNORED` or `UNKNOWN`.

        The value 255 is ignored whether or not the list has it.

        >>> CITYSCAPES.by_id()[[7, 26, 4, 99]].tolist()
        [0, 13, 255, 254]
        """
        return self._table({label.name: label.id for label in self.labels})

    def by_train_id(self) -> Lut:
        """Return uint8 (256,): the same for files of ``trainIds``.

        >>> CITYSCAPES.by_train_id()[[0, 18, 255, 19]].tolist()
        [0, 18, 255, 254]
        """
        return self._table({label.name: label.train_id for label in self.labels})

    def _table(self, values: Mapping[str, int]) -> Lut:
        table = np.full(256, UNKNOWN, dtype=np.uint8)
        table[IGNORED] = IGNORED
        for label in self.labels:
            if not label.evaluated and 0 <= values[label.name] < len(table):
                table[values[label.name]] = IGNORED
        for index, label in enumerate(self.evaluated):
            table[values[label.name]] = index
        return table


# Names, ids, train ids and colours as in cityscapesscripts.helpers.labels (Cordts et al. 2016).
_VOID = (
    ("unlabeled", 0, (0, 0, 0)),
    ("ego vehicle", 1, (0, 0, 0)),
    ("rectification border", 2, (0, 0, 0)),
    ("out of roi", 3, (0, 0, 0)),
    ("static", 4, (0, 0, 0)),
    ("dynamic", 5, (111, 74, 0)),
    ("ground", 6, (81, 0, 81)),
    ("parking", 9, (250, 170, 160)),
    ("rail track", 10, (230, 150, 140)),
    ("guard rail", 14, (180, 165, 180)),
    ("bridge", 15, (150, 100, 100)),
    ("tunnel", 16, (150, 120, 90)),
    ("polegroup", 18, (153, 153, 153)),
    ("caravan", 29, (0, 0, 90)),
    ("trailer", 30, (0, 0, 110)),
)
_NINETEEN = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
_NOT_IN_SYNTHIA = {"terrain", "truck", "train"}
_NOT_IN_THIRTEEN = _NOT_IN_SYNTHIA | {"wall", "fence", "pole"}


def _cityscapes(name: str, left_out: set[str]) -> ClassList:
    void = tuple(Label(n, i, IGNORED, colour, evaluated=False) for n, i, colour in _VOID)
    known = tuple(
        Label(n, i, train_id, colour, evaluated=n not in left_out)
        for train_id, (n, i, colour) in enumerate(_NINETEEN)
    )
    return ClassList(name, known + void)


CITYSCAPES = _cityscapes("cityscapes", set())
SYNTHIA16 = _cityscapes("synthia16", _NOT_IN_SYNTHIA)
SYNTHIA13 = _cityscapes("synthia13", _NOT_IN_THIRTEEN)

# SegNet's eleven classes and their values (Badrinarayanan et al. 2017), in the colours of the
# Cityscapes classes that they correspond to.
CAMVID = ClassList(
    "camvid",
    (
        Label("sky", 0, 0, (70, 130, 180)),
        Label("building", 1, 1, (70, 70, 70)),
        Label("pole", 2, 2, (153, 153, 153)),
        Label("road", 3, 3, (128, 64, 128)),
        Label("pavement", 4, 4, (244, 35, 232)),
        Label("tree", 5, 5, (107, 142, 35)),
        Label("sign", 6, 6, (220, 220, 0)),
        Label("fence", 7, 7, (190, 153, 153)),
        Label("car", 8, 8, (0, 0, 142)),
        Label("pedestrian", 9, 9, (220, 20, 60)),
        Label("bicyclist", 10, 10, (119, 11, 32)),
        Label("unlabelled", 11, IGNORED, (0, 0, 0), evaluated=False),
    ),
)

# The classes and values of SYNTHIA's video sequences, as in the README.txt of each (Ros et al.
# 2016), in the colours of Cityscapes; lane markings in SYNTHIA's own.
SYNTHIA_SEQS = ClassList(
    "synthia-seqs",
    (
        Label("sky", 1, 0, (70, 130, 180)),
        Label("building", 2, 1, (70, 70, 70)),
        Label("road", 3, 2, (128, 64, 128)),
        Label("sidewalk", 4, 3, (244, 35, 232)),
        Label("fence", 5, 4, (190, 153, 153)),
        Label("vegetation", 6, 5, (107, 142, 35)),
        Label("pole", 7, 6, (153, 153, 153)),
        Label("car", 8, 7, (0, 0, 142)),
        Label("traffic sign", 9, 8, (220, 220, 0)),
        Label("pedestrian", 10, 9, (220, 20, 60)),
        Label("bicycle", 11, 10, (119, 11, 32)),
        Label("lane marking", 12, 11, (0, 175, 0)),
        Label("traffic light", 15, 12, (250, 170, 30)),
        Label("misc", 0, IGNORED, (0, 0, 0), evaluated=False),
        Label("reserved 1", 13, IGNORED, (0, 0, 0), evaluated=False),
        Label("reserved 2", 14, IGNORED, (0, 0, 0), evaluated=False),
    ),
)

CLASS_LISTS = {each.name: each for each in (CITYSCAPES, SYNTHIA16, SYNTHIA13, CAMVID, SYNTHIA_SEQS)}

TO_CAMVID: Mapping[str, str] = {
    **{name: name for name in ("sky", "building", "pole", "road", "fence", "car")},
    "wall": "building",
    "sidewalk": "pavement",
    **dict.fromkeys(("vegetation", "terrain"), "tree"),
    **dict.fromkeys(("traffic sign", "traffic light"), "sign"),
    **dict.fromkeys(("truck", "bus", "train"), "car"),
    "person": "pedestrian",
    **dict.fromkeys(("rider", "bicycle", "motorcycle"), "bicyclist"),
}
"""Which of CamVid's eleven classes each of the Cityscapes nineteen belongs to."""


@dataclass(frozen=True)
class Protocol:
    """What a segmentation network learns to tell apart, and what its mIoU is the mean of.

    Attributes:
        name: as in ``--protocol`` and in tables; results of two protocols never mix.
        classes: what training and the confusion matrix know.
        averaged: names of the classes that mIoU averages; the rest of the matrix still counts as
            their false positives and misses.
    """

    name: str
    classes: ClassList
    averaged: tuple[str, ...]


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("cityscapes-19", CITYSCAPES, CITYSCAPES.names),
        Protocol("synthia-16", SYNTHIA16, SYNTHIA16.names),
        Protocol("synthia-13-of-16", SYNTHIA16, SYNTHIA13.names),
        Protocol("synthia-13", SYNTHIA13, SYNTHIA13.names),
        Protocol("camvid-11", CAMVID, CAMVID.names),
        Protocol("synthia-seqs-13", SYNTHIA_SEQS, SYNTHIA_SEQS.names),
    )
}
"""``synthia-13-of-16`` averages 13 IoUs of the 16-class matrix, as most papers do; ``synthia-13``
trains and scores on 13."""


def protocol(name: str) -> Protocol:
    """Return a segmentation protocol; raise BenchError, with the nearest name, if there is none.

    >>> len(protocol("synthia-13-of-16").classes), len(protocol("synthia-13-of-16").averaged)
    (16, 13)
    """
    if name not in PROTOCOLS:
        raise unknown("segmentation protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def cityscapes_ids(name: str) -> Lut:
    """Return uint8 (256,): Cityscapes' label ids to the indices of a protocol's classes.

    >>> cityscapes_ids("camvid-11")[[7, 26, 27, 255, 77]].tolist()
    [3, 8, 8, 255, 254]
    """
    classes = protocol(name).classes
    if classes is not CAMVID:
        return classes.by_id()
    table = CITYSCAPES.by_id()
    index = [CAMVID.names.index(TO_CAMVID[name]) for name in CITYSCAPES.names]
    known = table < len(index)
    table[known] = np.asarray(index, dtype=np.uint8)[table[known]]
    return table
