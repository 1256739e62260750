"""The shapes in which people keep clips of their own: folders, tables, lists."""

from __future__ import annotations

from mien.importers import folders, table
from mien.importers.corpus import Corpus
from mien.importers.lists import Lists

_FOLDS = "none of its own: mien train --folds data.folds=5 makes some, whole speakers apart"

FOLDERS = Corpus(
    name="folders",
    title="A folder for each class",
    about="your own clips, sorted into folders that are called like their classes",
    read=folders.read,
    takes=("speaker", "task", "rename", "fps", "licence", "keep_leaks"),
    layout="FOLDER/CLASS/.../clip, or FOLDER/train/CLASS/.../clip with train, val and test; films, "
    "sounds, pictures, and with --fps folders of numbered pictures; a film and a sound that are "
    "called alike are one clip",
    verified="trees made for its tests",
    folds=_FOLDS,
    apply="they are yours",
    command="FOLDER --speaker 'speaker(\\d+)'",
)

TABLE = Corpus(
    name="table",
    title="A table of clips",
    about="any CSV, TSV or Parquet file; its columns are mapped once, and remembered",
    read=table.read,
    takes=(
        "column", "rename", "labels", "first_label", "task", "split", "media", "fps", "licence",
        "keep_leaks",
    ),
    layout="a line of column names, then a line a clip, with any mark between the columns",
    verified="the tables of MELD's transcripts, and tables made for its tests",
    folds="the column that is mapped to fold; else mien train --folds data.folds=5 makes some",
    apply="they are yours",
    command="clips.csv --column labels.emotion=label --column media=file",
)  # fmt: skip

LISTS = Corpus(
    name="lists",
    title="Lists of clips",
    about="lists as the field's code reads them, FRAMES SOUND LABEL in each line",
    read=Lists().read,
    takes=(
        "split", "fold", "labels", "first_label", "task", "media", "fps", "speaker", "licence",
        "keep_leaks",
    ),
    layout="one or two paths and a label in each line, with blanks, tabs or commas between",
    verified="lists made for its tests",
    folds="those of --fold; else mien train --folds data.folds=5 makes some",
    apply="they are yours",
    command="train.txt --split test=test.txt --labels angry,happy,sad",
)  # fmt: skip
