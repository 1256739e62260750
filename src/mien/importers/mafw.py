"""MAFW: clips of films and shows, eleven single emotions and compound ones, by lists of folds."""

from __future__ import annotations

import dataclasses

from mien.importers.corpus import Corpus
from mien.importers.counts import Expected
from mien.importers.lists import Lists
from mien.tasks.classification import MAFW

_CLASSES = (1388, 639, 625, 1236, 1136, 1466, 1070, 236, 916, 262, 182)
_FOLDS = (
    (277, 128, 125, 249, 228, 294, 213, 48, 184, 53, 37),
    (277, 128, 125, 249, 228, 291, 215, 47, 183, 53, 37),
    (278, 128, 125, 242, 228, 294, 214, 47, 183, 52, 36),
    (278, 128, 125, 248, 225, 293, 214, 47, 183, 52, 36),
    (278, 127, 125, 248, 227, 294, 214, 47, 183, 52, 36),
)
_TAKES = ("fold", "split", "media", "fps", "first_label", "speaker", "keep_leaks")

CORPUS = Corpus(
    name="mafw",
    title="Multi-modal Affective database in the Wild: single emotions",
    about="clips of films, series and shows, 11 emotions; 9,156 with sound",
    read=Lists().read,
    takes=_TAKES,
    layout="lists of FRAMES SOUND LABEL, two for each fold, named by --fold",
    verified="no real copy: lists made up by the counts of its specification",
    task=MAFW,
    expected=Expected(
        rows=sum(_CLASSES),
        source="CLAIP-Emo's lists; they leave out 16 of 9,172 clips that have no sound",
        classes=dict(zip(MAFW.labels, _CLASSES, strict=True)),
        folds=_FOLDS,
    ),
    folds="the five of its lists; nobody is named in them, so nobody can tell who is on both sides",
    licence="MAFW agreement: non-commercial research only",
    apply="on request: its page on GitHub, MAFW-database, has the agreement to sign and send",
    cite="Liu and others, ACM Multimedia 2022",
    command="FOLDER --fold '{}=set_{}_train.csv,set_{}_test.csv'",
)

COMPOUND = dataclasses.replace(
    CORPUS,
    name="mafw-43",
    title="Multi-modal Affective database in the Wild: compound emotions",
    about="clips of films, series and shows, 43 single and compound emotions; 8,996 clips",
    read=Lists(width=43, task="compound").read,
    takes=(*_TAKES, "labels", "task"),
    layout="lists of FRAMES SOUND LABEL, two for each fold, named by --fold. No specification "
    "gives the 43 names: --labels FILE has them, one a line; without it classes are 0 to 42",
    task=None,
    expected=Expected(
        rows=8996,
        source="CLAIP-Emo's lists",
        folds=(1818, 1809, 1798, 1788, 1783),
    ),
    command="FOLDER --labels names.txt --fold '{}=set_{}_train.csv,set_{}_test.csv'",
)
