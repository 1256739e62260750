"""AVCAffe: people work together from afar; arousal and valence of each task, in five classes."""

from __future__ import annotations

import dataclasses
import re

from mien.importers.called import Called
from mien.importers.corpus import Corpus
from mien.importers.lists import Lists

# Clips and views of one task share the first three fields of their names, and a label.
_PATTERN = re.compile(r"(?:^|/)(?P<source>(?P<speaker>[A-Za-z0-9]+)_task_[0-9]+)(?![0-9])")


def _called(task: str) -> Called:
    return Called(lists=Lists(width=5, task=task), pattern=_PATTERN, form="SUBJECT_task_NUMBER_...")


AROUSAL = Corpus(
    name="avcaffe-arousal",
    title="AVCAffe: arousal",
    about="106 people in video calls under cognitive load; arousal in 5 classes",
    read=_called("arousal").read,
    takes=("split", "fold", "media", "fps", "first_label", "labels", "keep_leaks"),
    layout="lists of FRAMES SOUND LABEL, one for each part, named by --split; 5 classes as "
    "numbers; clips called SUBJECT_task_NUMBER_...; what shares these three fields is one "
    "recording. Layout not verified",
    verified="no real copy: lists made up for its tests",
    folds="none of its own here: its train and validation lists, by --split",
    licence="AVCAffe agreement: research only (as commonly known)",
    apply="on request: its page says how",
    cite="Sarkar and others, AAAI 2023, https://arxiv.org/abs/2205.06887",
    command="FOLDER --split train=train.txt --split test=test.txt",
)

VALENCE = dataclasses.replace(
    AROUSAL,
    name="avcaffe-valence",
    title="AVCAffe: valence",
    about="the same, valence in 5 classes",
    read=_called("valence").read,
)
