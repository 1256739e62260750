"""A model of transformers on this machine, from a folder; nothing is fetched and no code is run.

A model alone keeps to no schema, so the form of the answer is told in words, and checked as always.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.errors import LanguageError
from mien.language.talk import Message, Part, Picture, Reply, Schema, Sound, Usage

_FORM = "Answer with one JSON object and nothing else. It has to fit this JSON schema:\n"


class Local:
    """Asks a model of a folder, one question at a time.

    Args:
        folder: weights in safetensors, configuration, tokenizer and processor, as
            ``save_pretrained`` leaves them.
        longest: tokens that an answer may have.
        device: where it runs; None: a GPU where there is one.

    Raises:
        LanguageError: the folder holds no model that reads pictures and text.
    """

    def __init__(self, folder: Path, *, longest: int = 1500, device: str | None = None) -> None:
        import torch
        import transformers

        if not (folder / "config.json").is_file():
            raise LanguageError(
                "this folder holds no model: config.json is needed", where=str(folder)
            )
        kinds: Any = transformers
        kind = getattr(kinds, "AutoModelForMultimodalLM", kinds.AutoModelForImageTextToText)
        safe = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._processor: Any = kinds.AutoProcessor.from_pretrained(folder, **safe)
            self._model: Any = kind.from_pretrained(folder, use_safetensors=True, **safe)
        except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
            raise LanguageError(
                f"this model cannot be loaded: {str(error).splitlines()[0]}", where=str(folder)
            ) from error
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device).eval()
        ears = ("feature_extractor", "audio_processor")
        self._hears = any(getattr(self._processor, name, None) is not None for name in ears)
        self._longest = longest
        self._name = folder.name
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Of its folder."""
        return self._name

    def say(self, messages: Sequence[Message], schema: Schema) -> Reply:
        """Answer to a talk, the likeliest words first.

        Raises:
            LanguageError: the model cannot take what it was given.
        """
        import torch

        if any(isinstance(part, Sound) for m in messages for part in m.parts) and not self._hears:
            raise LanguageError("this model cannot hear", where=self._name, fix="leave --sound out")
        talk = [_turn(message) for message in messages]
        talk[-1]["content"].append({"type": "text", "text": _FORM + json.dumps(schema)})
        with self._lock, torch.inference_mode():
            try:
                inputs = self._processor.apply_chat_template(
                    talk, add_generation_prompt=True, tokenize=True, return_dict=True,
                    return_tensors="pt",
                ).to(self._device)  # fmt: skip
                length = int(inputs["input_ids"].shape[1])
                found = self._model.generate(
                    **inputs, max_new_tokens=self._longest, do_sample=False
                )
            except (ValueError, TypeError, KeyError, RuntimeError, ImportError) as error:
                raise LanguageError(
                    f"this model cannot take it: {str(error).splitlines()[0]}", where=self._name
                ) from error
            written = found[0, length:]
            text = self._processor.decode(written, skip_special_tokens=True)
        return Reply(
            text=str(text).strip(),
            usage=Usage(length, len(written)),
            cut=len(written) >= self._longest,
        )


def _turn(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": [_part(part) for part in message.parts]}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Picture(jpeg):
            return {"type": "image", "image": _pixels(jpeg)}
        case Sound(wav):
            return {"type": "audio", "audio": _samples(wav)}
    return {"type": "text", "text": part}


def _pixels(jpeg: bytes) -> Any:
    """(H, W, 3) RGB of our own JPEG."""
    import cv2
    import numpy as np

    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _samples(wav: bytes) -> Any:
    """(S,) of our own WAV, full scale at 1."""
    import io
    import wave

    import numpy as np

    with wave.open(io.BytesIO(wav)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
