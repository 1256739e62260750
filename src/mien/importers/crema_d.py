"""CREMA-D: 91 actors say twelve sentences in six emotions."""

from __future__ import annotations

import re
from itertools import accumulate

from mien.importers.corpus import Corpus
from mien.importers.counts import Expected
from mien.importers.names import Naming
from mien.tasks.classification import CREMA_D

_CODES = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
_ACTORS = [str(actor) for actor in range(1001, 1092)]
_LAST = [1000 + people for people in accumulate((18, 18, 18, 18, 19))]  # actor of each fold

_NAMING = Naming(
    pattern=re.compile(
        r"(?P<id>(?P<speaker>1[0-9]{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})"
        r"_(?P<level>LO|MD|HI|XX?))"
    ),
    form="ACTOR_SENTENCE_EMOTION_LEVEL",
    example="1076_MTI_NEU_XX.wav",
    emotions=dict(zip(_CODES, CREMA_D.labels, strict=True)),
    speakers=_ACTORS,
    fold=lambda actor: next(fold for fold, last in enumerate(_LAST) if int(actor) <= last),
    groups={
        "sentence": ("sentence", {}),
        "intensity": (
            "level",
            {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"},
        ),
    },
    broken=frozenset({"1076_MTI_NEU_XX", "1076_MTI_SAD_XX", "1064_TIE_SAD_XX", "1064_IEO_DIS_MD"}),
    why_broken="broken, as HiCMAE's protocol has it",
)

CORPUS = Corpus(
    name="crema-d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset",
    about="91 actors, twelve sentences, 6 acted emotions; 7,442 clips as sound and film",
    read=_NAMING.read,
    takes=("modality",),
    layout=f"files called {_NAMING.form}, in any folders, such as the corpus's own AudioWAV and "
    "VideoFlash; sound and film of one clip are one row",
    verified="no real copy: names as its specification quotes them",
    task=CREMA_D,
    expected=Expected(
        rows=7437,
        source="HiCMAE's lists; of the 7,442 they leave out the four broken clips, and one more",
        speakers=91,
        folds=(1463, 1470, 1475, 1474, 1555),
    ),
    folds="five by actor, 1001-1018, 1019-1036, 1037-1054, 1055-1072 and 1073-1091, as HiCMAE's "
    "lists have them",
    licence="ODbL-1.0",
    apply="free: clone its repository on GitHub with git-lfs; its authors ask for a short form",
    cite="Cao and others, IEEE Transactions on Affective Computing 5(4), 2014, "
    "https://doi.org/10.1109/TAFFC.2014.2336244",
)
