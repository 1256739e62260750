"""DFEW: clips of films, seven emotions, by the lists of its five folds."""

from __future__ import annotations

from mien.importers.corpus import Corpus
from mien.importers.counts import Expected
from mien.importers.lists import Lists
from mien.tasks.classification import DFEW

_CLASSES = (2445, 1894, 2669, 2173, 1469, 145, 902)
_FOLDS = (
    (489, 379, 534, 435, 294, 29, 181),
    (489, 379, 534, 435, 294, 29, 181),
    (489, 379, 534, 435, 294, 29, 180),
    (489, 379, 534, 434, 294, 29, 180),
    (489, 378, 533, 434, 293, 29, 180),
)
_LISTS = Lists(
    known=("label/single_trainset_{}.csv", "label/single_testset_{}.csv"),
    forms=("data/{:0>5}",),
)

CORPUS = Corpus(
    name="dfew",
    title="Dynamic Facial Expression in the Wild",
    about="clips of films, 7 emotions; 11,697 with a single label",
    read=_LISTS.read,
    takes=("fold", "split", "media", "fps", "first_label", "speaker", "keep_leaks"),
    layout="lists of FRAMES SOUND LABEL, two for each fold, named by --fold; without it those of "
    "its authors' code, label/single_trainset_1.csv and so on with frames in data/00001: "
    "layout not verified",
    verified="no real copy: lists made up by the counts of its specification",
    task=DFEW,
    expected=Expected(
        rows=sum(_CLASSES),
        source="CLAIP-Emo's lists",
        classes=dict(zip(DFEW.labels, _CLASSES, strict=True)),
        folds=_FOLDS,
    ),
    folds="the five of its lists; nobody is named in them, so nobody can tell who is on both sides",
    licence="DFEW agreement: academic research only (as commonly known)",
    apply="on request, as commonly known: its page, dfew-dataset.github.io, says how",
    cite="Jiang and others, ACM Multimedia 2020, https://doi.org/10.1145/3394171.3413620",
    command="FOLDER --fold '{}=set_{}_train.csv,set_{}_test.csv'",
)
