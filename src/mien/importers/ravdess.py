"""RAVDESS: 24 actors say (and 23 sing) two sentences in eight (six) emotions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from functools import partial
from itertools import product

from mien.importers.corpus import Corpus
from mien.importers.counts import Expected
from mien.importers.names import Naming
from mien.tasks.classification import RAVDESS

_SPEECH, _SONG = "01", "02"
_EMOTIONS = {f"{code:02d}": label for code, label in enumerate(RAVDESS.labels, 1)}
_SUNG = dataclasses.replace(RAVDESS, labels=RAVDESS.labels[:6])
_ACTORS = [f"{actor:02d}" for actor in range(1, 25)]
_FOLDS = 6


def _names(channel: str, emotions: int, silent: str | None = None) -> Iterator[str]:
    """Every performance of a whole copy: two takes each; neutral is never strong."""
    codes = product(list(_EMOTIONS)[:emotions], ("01", "02"), ("01", "02"), ("01", "02"), _ACTORS)
    for emotion, intensity, statement, take, actor in codes:
        if actor != silent and not (emotion == "01" and intensity == "02"):
            yield "-".join((channel, emotion, intensity, statement, take, actor))


_NAMING = Naming(
    pattern=re.compile(
        r"(?P<kind>0[123])-(?P<id>(?P<channel>0[12])-(?P<emotion>[0-9]{2})-(?P<intensity>0[12])"
        r"-(?P<statement>0[12])-(?P<take>0[12])-(?P<speaker>[0-9]{2}))"
    ),
    form="MODALITY-CHANNEL-EMOTION-INTENSITY-STATEMENT-TAKE-ACTOR, two digits each",
    example="03-01-05-02-01-01-12.wav",
    emotions=_EMOTIONS,
    speakers=_ACTORS,
    fold=lambda actor: (int(actor) - 1) // (len(_ACTORS) // _FOLDS),
    groups={
        "gender": ("speaker", {a: "female" if int(a) % 2 == 0 else "male" for a in _ACTORS}),
        "intensity": ("intensity", {"01": "normal", "02": "strong"}),
        "statement": ("statement", {"01": "kids", "02": "dogs"}),
    },
    only={"channel": _SPEECH},
    kinds={"01": "film", "02": "picture", "03": "sound"},
)

CORPUS = Corpus(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song: speech",
    about="24 actors, two sentences, 8 acted emotions; 1,440 clips as sound, film or both",
    read=_NAMING.read,
    takes=("modality",),
    layout=f"files called {_NAMING.form}, in any folders; one clip in several modalities is one "
    "row",
    verified="a whole copy of the sound files, 1,440 as FLAC; films by name only",
    task=RAVDESS,
    expected=Expected(
        rows=1440,
        source="60 clips of each of 24 actors",
        classes={label: 96 if label == "neutral" else 192 for label in RAVDESS.labels},
        speakers=24,
        folds=(240,) * _FOLDS,
        names=partial(_names, _SPEECH, 8),
    ),
    folds="six of four actors each, 01-04, 05-08 and so on, as HiCMAE's lists have them",
    licence="CC-BY-NC-SA-4.0",
    apply="free to download from Zenodo, record 1188976; commercial licences are sold by its "
    "authors",
    cite="Livingstone and Russo, PLoS ONE 13(5), 2018, https://doi.org/10.1371/journal.pone.0196391",
)

SONG = dataclasses.replace(
    CORPUS,
    name="ravdess-song",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song: song",
    about="23 actors sing two sentences in 6 acted emotions; 1,012 clips",
    read=dataclasses.replace(_NAMING, only={"channel": _SONG}).read,
    verified="by name only",
    task=_SUNG,
    expected=Expected(
        rows=1012,
        source="44 clips of each of 23 actors; 18 does not sing",
        classes={label: 92 if label == "neutral" else 184 for label in _SUNG.labels},
        speakers=23,
        folds=(176, 176, 176, 176, 132, 176),
        names=partial(_names, _SONG, 6, silent="18"),
    ),
    folds="the six of the speech, our choice: no paper here cuts the song",
)
