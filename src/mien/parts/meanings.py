"""Texts of labels to vectors: by CLIP's text tower, a sentence encoder, or without any weights.

Vectors of a frozen encoder are kept in mien's cache under a hash of the encoder's files and of
every sentence, so that neither is the encoder opened twice for the same labels nor are vectors of
one taken for those of another. A run keeps the vectors themselves.

Shapes: C labels, D width of a vector.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from mien.errors import ConfigError
from mien.parts import cliptext, hub, labels, towers
from mien.parts.cliptext import ClipText
from mien.parts.hub import TowerSource
from mien.parts.labels import LabelSet
from mien.parts.sentences import SentenceEncoder, located

__all__ = ["LETTERS", "RANDOM", "place", "reads_as_clip", "text_tower", "vectors"]

LETTERS, RANDOM = "letters", "random"
"""Encoders without weights: alike are words of the same letters; nothing is alike."""


def vectors(
    encoder: str,
    revision: str | None,
    given: LabelSet,
    templates: str | Sequence[str],
    width: int,
) -> Tensor:
    """A vector of length 1 for each label, (C, D): the mean over its sentences.

    Args:
        encoder: ``letters`` or ``random``, which read the texts alone; a folder or a name on the
            hub of a CLIP model or of a sentence encoder.
        revision: commit on the hub.
        given: the labels.
        templates: sentences to put them in, or the name of some.
        width: D, as the run expects it.
    """
    if encoder in (LETTERS, RANDOM):
        return _together([[_spelled(text, width, encoder) for text in texts]
                          for texts in given.labels.values()])  # fmt: skip
    said = labels.sentences(given, templates)
    folder, fingerprint = place(encoder, revision)
    file = _file(fingerprint, said)
    found = _kept(file, len(said))
    if found is None:
        with torch.random.fork_rng(devices=[]):  # a training starts alike with and without a cache
            found = _encoded(folder, encoder, revision, said)
        _keep(file, found)
    if found.shape[1] != width:
        raise ConfigError(
            f"{encoder} gives vectors of {found.shape[1]}, not {width}",
            fix=f"model.label_dim={found.shape[1]}",
        )
    return found


def _encoded(
    folder: Path, encoder: str, revision: str | None, said: Sequence[Sequence[str]]
) -> Tensor:
    flat = [sentence for some in said for sentence in some]
    if reads_as_clip(folder):
        tower = text_tower(encoder, revision)
        ids, mask = cliptext.tokens(folder, flat, tower.longest)
        with torch.inference_mode():
            made = tower(ids, mask)[0][:, 0].clone()
    else:
        made = torch.stack(list(SentenceEncoder.open(encoder, revision).encode(flat)))
    return _together([list(part) for part in made.split([len(some) for some in said])])


def place(encoder: str, revision: str | None) -> tuple[Path, str]:
    """The folder of an encoder's files, and what tells it from others."""
    known = towers.KNOWN.get(encoder)
    wanted = revision or (known.revision if known else None)
    folder, fingerprint = located(encoder, wanted)
    return folder, f"{fingerprint} {wanted}"


def reads_as_clip(folder: Path) -> bool:
    """Whether this is a CLIP model, and no sentence encoder."""
    return hub.read_config(folder).get("model_type") in cliptext.MODELS


def text_tower(encoder: str | Mapping[str, Any], revision: str | None) -> ClipText:
    """CLIP's text tower of that name."""
    return cast("ClipText", towers.open_tower(TowerSource(ClipText.kind, encoder, revision)))


def _together(each: Sequence[Sequence[Tensor]]) -> Tensor:
    """The mean direction of each label's vectors, at length 1."""
    means = [F.normalize(torch.stack(list(some)), dim=-1).mean(0) for some in each]
    return F.normalize(torch.stack(means), dim=-1)


# -- without weights -------------------------------------------------------------------------------


def _spelled(text: str, width: int, kind: str) -> Tensor:
    """A text from the three to five letters that stand beside each other in it, or as a whole."""
    word = f" {text.lower()} "
    parts = [word]
    if kind == LETTERS:
        parts = [word[i : i + n] for n in (3, 4, 5) for i in range(max(1, len(word) - n + 1))]
    total = np.zeros(width)
    for part in parts:
        seed = hashlib.sha256(part.encode()).digest()
        total += np.random.default_rng(list(seed)).normal(size=width)
    return F.normalize(torch.from_numpy(total.astype(np.float32)), dim=0)


# -- the cache -------------------------------------------------------------------------------------


def _file(fingerprint: str, said: Sequence[Sequence[str]]) -> Path:
    meant = hashlib.sha256(json.dumps([fingerprint, said]).encode()).hexdigest()
    return hub.cache_folder() / "labels" / f"{meant[:32]}.safetensors"


def _kept(file: Path, count: int) -> Tensor | None:
    """What an earlier call encoded; a file that is damaged counts as none."""
    try:
        found = load_file(file)["vectors"] if file.is_file() else None
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    good = found is not None and found.ndim == 2 and len(found) == count and found.isfinite().all()
    return found if good else None


def _keep(file: Path, found: Tensor) -> None:
    """Whole or not at all; where nothing can be written, the next call encodes again."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"vectors": found.contiguous()}, unfinished)
        unfinished.replace(file)
    except OSError:
        return
