"""MER2023: the challenge's clips with six emotions, by lists."""

from __future__ import annotations

from mien.importers.corpus import Corpus
from mien.importers.lists import Lists
from mien.tasks.classification import MER2023

CORPUS = Corpus(
    name="mer2023",
    title="Multimodal Emotion Recognition Challenge 2023",
    about="clips of Chinese films and series, 6 emotions",
    read=Lists().read,
    takes=("split", "fold", "media", "fps", "first_label", "speaker", "keep_leaks"),
    layout="lists of FRAMES SOUND LABEL, one for each part, named by --split; labels are names or "
    "numbers. Layout not verified: its own files are not described here; a CSV of them can be "
    "read as a table",
    verified="no real copy: made-up lists",
    task=MER2023,
    folds="none: its train and validation clips train, and MER-MULTI tests",
    licence="MER2023 agreement: academic research only",
    apply="on request: sign the agreement on Hugging Face, MERChallenge/MER2023",
    cite="Lian and others, ACM Multimedia 2023, https://arxiv.org/abs/2304.08981",
    command="FOLDER --split train=train.txt --split test=multi.txt",
)
