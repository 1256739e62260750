"""Whoever listens with learned weights: silero finds speech, faster-whisper writes it down.

Both are extras, imported only where they are asked for. Voices are found without them too, by
`mien.data.voice`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.cues.prosody import Activity
from mien.data.turns import Turn
from mien.data.voice import Speech, VoiceActivity
from mien.errors import ConfigError, MissingExtra, did_you_mean

FINDERS = ("energy", "silero")
"""What finds speech. ``energy`` is mien's own, without weights."""

_RATE, _CHUNK = 16_000, 512  # what silero listens to at once
_THRESHOLD, _PAUSE, _LEAST = 0.6, 200, 0.25  # of the published system: milliseconds, seconds
_LONGEST = 5.0  # seconds: a longer segment is given out in pieces that touch, as ours are

Samples = NDArray[np.float32]


def finder(name: str) -> Callable[[int, float], Activity]:
    """What finds speech, by its name.

    Raises:
        ConfigError: there is no such.
        MissingExtra: it is not installed.
    """
    if name == "energy":
        return lambda rate, start: VoiceActivity(rate, start=start)
    if name != "silero":
        raise ConfigError(f"nothing finds speech by {name!r}: {did_you_mean(name, FINDERS)}")
    silero = _extra("silero_vad", "vad")
    model = silero.load_silero_vad()
    return lambda rate, start: Silero(silero.VADIterator, model, rate, start=start)


class Silero:
    """Silero's voice activity in sound that comes piece by piece, in constant memory.

    The thresholds are those of the published system.

    Args:
        iterator: silero's ``VADIterator``.
        model: what ``load_silero_vad`` gave.
        rate: samples a second; 16,000.
        start: seconds, on the clock of the source, of the first sample.
    """

    def __init__(
        self, iterator: Callable[..., Any], model: Any, rate: int, *, start: float = 0.0
    ) -> None:
        if rate != _RATE:
            raise ConfigError(f"silero listens to {_RATE:,} samples a second, not {rate:,}")
        self._iterator = iterator(
            model, threshold=_THRESHOLD, sampling_rate=_RATE, min_silence_duration_ms=_PAUSE
        )
        self._start, self._seen = start, 0
        self._samples: Samples = np.zeros(0, np.float32)
        self._open: float | None = None
        self._finished = False

    @property
    def settled(self) -> float:
        """Every segment that begins before this second has been given out."""
        if self._finished:
            return math.inf
        # A segment is widened backwards by some milliseconds when it is opened.
        now = self._start + max(0, self._seen - _CHUNK) / _RATE
        return now if self._open is None else self._open

    def feed(self, samples: Samples, there: NDArray[np.bool_] | None = None) -> list[Speech]:
        """Take the next samples (n,); what was not recorded is silence."""
        known = samples if there is None else np.where(there, samples, 0)
        self._samples = np.concatenate([self._samples, known.astype(np.float32)])
        found = []
        while len(self._samples) >= _CHUNK:
            found += self._hear(self._samples[:_CHUNK])
            self._samples = self._samples[_CHUNK:]
        return found

    def finish(self) -> list[Speech]:
        """The segments that are left."""
        rest, self._samples = self._samples, np.zeros(0, np.float32)
        end = self._start + (self._seen + len(rest)) / _RATE
        found = self._hear(np.pad(rest, (0, _CHUNK - len(rest)))) if len(rest) else []
        found += self._close(end)
        self._finished = True
        return found

    def _hear(self, chunk: Samples) -> list[Speech]:
        import torch

        said = self._iterator(torch.from_numpy(np.ascontiguousarray(chunk)))
        self._seen += _CHUNK
        if not said:
            return self._cut(self._start + self._seen / _RATE)
        if "start" in said:
            self._open = self._start + max(0, int(said["start"])) / _RATE
            return []
        return self._close(self._start + int(said["end"]) / _RATE)

    def _cut(self, now: float) -> list[Speech]:
        """A piece of a segment that has become too long; the rest follows as its own."""
        if self._open is None or now - self._open < _LONGEST:
            return []
        piece, self._open = Speech(self._open, now, 1.0), now
        return [piece]

    def _close(self, end: float) -> list[Speech]:
        begin, self._open = self._open, None
        if begin is None or end - begin < _LEAST:
            return []
        return [Speech(begin, end, 1.0)]


class Recogniser:
    """Writes down what is said, by faster-whisper.

    Args:
        model: a folder, or a name that faster-whisper knows, such as ``large-v3``.
        language: two letters; None: it finds out.

    Raises:
        MissingExtra: faster-whisper is not installed.
    """

    def __init__(self, model: str, language: str | None = None) -> None:
        self.name = f"faster-whisper {Path(model).name}"
        self._language = language
        self._model = _extra("faster_whisper", "asr").WhisperModel(model)

    def written(self, samples: Samples, start: float = 0.0) -> tuple[Turn, ...]:
        """What is said in some sound (n,) of 16,000 samples a second, word by word.

        Args:
            samples: mono, full scale at 1.
            start: second of the first sample.
        """
        segments, _ = self._model.transcribe(samples, language=self._language, word_timestamps=True)
        found = []
        for segment in segments:
            words = [(w.start, w.end, w.word) for w in segment.words or ()]
            for begin, end, text in words or [(segment.start, segment.end, segment.text)]:
                if text.strip():
                    found.append(Turn(start + begin, start + end, None, text.strip()))
        return tuple(found)


def _extra(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(module, extra) from error
