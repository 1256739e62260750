"""MSP-IMPROV: twelve actors improvise in six sessions of two, four emotions."""

from __future__ import annotations

import re

from mien.importers.called import Called
from mien.importers.corpus import Corpus
from mien.importers.counts import Expected
from mien.importers.lists import Lists
from mien.tasks.classification import MSP_IMPROV

# The two of a session are heard in the same recordings, so a session is one source.
_CALLED = Called(
    lists=Lists(),
    pattern=re.compile(r"MSP-IMPROV-S[0-9]{2}[A-Z]-(?P<speaker>[FM](?P<source>0[1-6]))-"),
    form="MSP-IMPROV-S01A-F01-P-FM01",
    fold=lambda match: int(match["source"]) - 1,
)

CORPUS = Corpus(
    name="msp-improv",
    title="MSP-IMPROV",
    about="12 actors in 6 sessions of two improvise around fixed sentences; 4 emotions as heard",
    read=_CALLED.read,
    takes=("fold", "split", "media", "fps", "first_label", "keep_leaks"),
    layout=f"lists of FRAMES SOUND LABEL, one of all clips or two a fold; labels 0 to 3 or their "
    f"names; clips called like {_CALLED.form}. Layout not verified",
    verified="no real copy: lists made up for its tests, with names as commonly known",
    task=MSP_IMPROV,
    expected=Expected(
        rows=7787,
        source="HiCMAE's lists",
        speakers=12,
        folds=(916, 1328, 1622, 1044, 1407, 1470),
    ),
    folds="six, each session once, from the names; HiCMAE's lists choose the epoch on the test "
    "clips (their val.csv is their test.csv), which mien does not",
    licence="MSP-IMPROV agreement: academic research only (as commonly known)",
    apply="on request: its page at the University of Texas at Dallas has the form",
    cite="Busso and others, IEEE Transactions on Affective Computing 8(1), 2017, "
    "https://doi.org/10.1109/TAFFC.2016.2515617",
    command="lists/all.txt --media FOLDER",
)
