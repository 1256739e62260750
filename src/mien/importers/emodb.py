"""EmoDB: ten actors say ten German sentences in seven emotions."""

from __future__ import annotations

import re

from mien.importers.corpus import Corpus
from mien.importers.counts import Expected
from mien.importers.names import Naming
from mien.tasks.classification import EMODB

_LETTERS = "WLEAFTN"  # Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral
_COUNTS = (127, 81, 46, 69, 71, 62, 79)
_MEN = ("03", "10", "11", "12", "15")
_WOMEN = ("08", "09", "13", "14", "16")

_NAMING = Naming(
    pattern=re.compile(
        r"(?P<id>(?P<speaker>[0-9]{2})(?P<sentence>[ab][0-9]{2})(?P<emotion>[A-Z])[a-z]?)"
    ),
    form="SPEAKER SENTENCE EMOTION VERSION, run together",
    example="03a01Fa.wav",
    emotions=dict(zip(_LETTERS, EMODB.labels, strict=True)),
    speakers=sorted((*_MEN, *_WOMEN)),
    fold=lambda speaker: (_MEN if speaker in _MEN else _WOMEN).index(speaker),
    groups={
        "gender": ("speaker", dict.fromkeys(_MEN, "male") | dict.fromkeys(_WOMEN, "female")),
        "sentence": ("sentence", {}),
    },
)

CORPUS = Corpus(
    name="emodb",
    title="Berlin Database of Emotional Speech",
    about="10 actors, ten German sentences, 7 acted emotions; 535 recordings",
    read=_NAMING.read,
    layout=f"sound files called {_NAMING.form}, in any folders",
    verified="a partial copy: the 339 recordings of anger, happiness, sadness and neutral, as FLAC",
    task=EMODB,
    expected=Expected(
        rows=535,
        source="as commonly known",
        classes=dict(zip(EMODB.labels, _COUNTS, strict=True)),
        speakers=10,
    ),
    folds="five of one man and one woman each, our choice: the corpus has none",
    licence="free for research (as commonly known)",
    apply="free to download from its page, emodb.bilderbar.info",
    cite="Burkhardt and others, Interspeech 2005",
)
