"""Corpora that people have: what each is, how one gets it, and how a copy becomes a manifest."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from mien.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mien.importers.corpus import Corpus

_HOME = {
    "ravdess": "ravdess:CORPUS",
    "ravdess-song": "ravdess:SONG",
    "crema-d": "crema_d:CORPUS",
    "emodb": "emodb:CORPUS",
    "dfew": "dfew:CORPUS",
    "mafw": "mafw:CORPUS",
    "mafw-43": "mafw:COMPOUND",
    "mer2023": "mer2023:CORPUS",
    "aff-wild2-va": "aff_wild2:VALUES",
    "aff-wild2-expr": "aff_wild2:EXPRESSIONS",
    "aff-wild2-au": "aff_wild2:ACTION_UNITS",
    "c-expr-db": "c_expr_db:CORPUS",
    "c-expr-db-7": "c_expr_db:SEVEN",
    "msp-improv": "msp_improv:CORPUS",
    "iemocap": "iemocap:CORPUS",
    "iemocap-6": "iemocap_dialogues:CORPUS",
    "meld": "meld:CORPUS",
    "avcaffe-arousal": "avcaffe:AROUSAL",
    "avcaffe-valence": "avcaffe:VALENCE",
    "werewolf-xl": "werewolf_xl:CORPUS",
    "voxceleb2": "voxceleb2:CORPUS",
    "cmu-mosei": "cmu_mosei:CORPUS",
    "mmsa": "mmsa:CORPUS",
    "conversations": "conversations:CORPUS",
    "mertools": "mertools:CORPUS",
    "folders": "own:FOLDERS",
    "table": "own:TABLE",
    "lists": "own:LISTS",
}
NAMES = tuple(_HOME)
"""What one can import, the published corpora first, then one's own clips."""


def named(name: str) -> Corpus:
    """A corpus by its name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if name not in _HOME:
        raise ConfigError(
            f"there is no importer {name!r}: {did_you_mean(name, NAMES)}",
            fix="mien data import lists them",
        )
    module, _, held = _HOME[name].partition(":")
    found: Corpus = getattr(importlib.import_module(f"mien.importers.{module}"), held)
    return found
