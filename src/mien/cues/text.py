"""Cues to text: a pure function, by a template that is data.

What was measured and is not there is said so, each absence in words of its own. What was not
measured is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mien.cues.facs import NAMES, in_order
from mien.cues.schema import Absence, Cues
from mien.cues.template import Rules, Template

__all__ = ["Template", "textualize"]


def textualize(cues: Cues, template: Template, rules: Rules | None = None) -> str:
    """One line that says what was seen and heard.

    The same cues and the same template give the same text, so a prompt that many frames share
    needs one evaluation.

    Args:
        cues: of a clip or a window; of a longer recording, ``cues.between(...)`` first.
        template: words and rules.
        rules: in place of the template's.

    Returns:
        Labelled parts in the order T, V, A; empty where nothing of these was measured.
    """
    teller = _Teller(cues, template, rules or template.rules)
    tellers = {"T": teller.said, "V": teller.seen, "A": teller.heard}
    told = [part for letter in "TVA" if letter in teller.rules.fields for part in tellers[letter]()]
    labels = template.labels.model_dump()
    filled = [_filled(template.part, label=labels[name], content=text) for name, text in told]
    return template.between.join(filled)


Part = tuple[str, str]
"""Name of a label, and what stands behind it."""


class _Teller:
    """What there is to say of some cues, part by part."""

    def __init__(self, cues: Cues, template: Template, rules: Rules) -> None:
        self.cues, self.template, self.rules = cues, template, rules
        phrases = template.absent.model_dump()
        self.absent = {absence: phrases[absence.value] for absence in self._absences()}

    def _absences(self) -> frozenset[Absence]:
        return self.cues.absences(self.rules.unit_threshold)

    def said(self) -> Iterator[Part]:
        """What is said, or why nothing is."""
        turns = self.cues.transcript or ()
        words = [line for turn in turns if (line := _plain(turn.text or ""))]
        if words:
            yield "said", " ".join(words)
        else:
            yield from self._silence("said")

    def seen(self) -> Iterator[Part]:
        """Active units, then the likeliest expressions."""
        if Absence.NO_FACE in self.absent:
            yield "face", self.absent[Absence.NO_FACE]
            return
        levels = self.cues.levels() if self.rules.faces == "levels" else {}
        units = in_order(self.cues.active(self.rules.unit_threshold))
        if levels:
            yield "face", self._unusual(levels)
        elif units:
            strengths = self.cues.peaks("strengths")
            told = [_unit(name, strengths.get(name), self.template, self.rules) for name in units]
            yield "face", self.template.item.join(told)
        elif Absence.NO_ACTIVE_UNIT in self.absent:
            yield "face", self.absent[Absence.NO_ACTIVE_UNIT]
        scores = self.cues.peaks("emotions")
        if scores and self.rules.emotions:
            best = sorted(scores, key=lambda name: (-scores[name], name))[: self.rules.emotions]
            yield "expression", self.template.item.join(map(_plain, best))

    def _unusual(self, levels: Mapping[str, float]) -> str:
        """Units that differ from what is usual for the face."""
        words = self.template
        patterns = words.more, words.less, words.much_more, words.much_less
        found = [(name, _pattern(levels[name], patterns, self.rules)) for name in in_order(levels)]
        told = [_filled(pattern, name=NAMES[name]) for name, pattern in found if pattern]
        return words.item.join(told) or words.ordinary

    def heard(self) -> Iterator[Part]:
        """How it sounds, or why it does not; then the dimensions."""
        shares = _shares(self.cues, self.template, self.rules)
        tones = [*_levels(self.cues, self.template, self.rules), *shares]
        if tones:
            yield "voice", self.template.item.join(tones)
        elif any(heard.score is not None for heard in self.cues.prosody or ()):
            yield "voice", self.template.ordinary
        else:
            yield from self._silence("voice")
        found = [
            _dimension(name, value, self.template, self.rules)
            for name, value in _dimensions(self.cues).items()
        ]
        if found:
            yield "dimensions", self.template.item.join(found)

    def _silence(self, part: str) -> Iterator[Part]:
        for absence in (Absence.NO_AUDIO, Absence.NO_SPEECH):
            if absence in self.absent:
                yield part, self.absent[absence]


def _unit(name: str, strength: float | None, template: Template, rules: Rules) -> str:
    reached = [] if strength is None else [
        (least, degree) for degree, least in rules.degrees.items() if strength >= least
    ]  # fmt: skip
    if not reached:
        return NAMES[name]
    return _filled(template.degree, degree=max(reached)[1], name=NAMES[name])


def _shares(cues: Cues, template: Template, rules: Rules) -> Iterator[str]:
    """Tones by name, the strongest first."""
    tones = cues.prosody or ()
    given = [(t.name, t.score) for t in tones if t.scale == "share" and t.score is not None]
    if rules.once:
        highest: dict[str, float] = {}
        for name, score in given:
            highest[name] = max(score, highest.get(name, 0.0))
        given = list(highest.items())
    for name, score in sorted(given, key=lambda tone: (-tone[1], tone[0]))[: rules.tones]:
        pattern = template.high if score > rules.tone_threshold else template.low
        yield _filled(pattern, name=_plain(name))


def _levels(cues: Cues, template: Template, rules: Rules) -> Iterator[str]:
    """Measures against what is usual, in the order of the template's measures."""
    told: dict[str, float] = {}
    weights: dict[str, float] = {}
    for heard in cues.prosody or ():
        if (
            heard.scale == "level" and heard.score is not None
        ):  # of several stretches the mean by their length
            length = max(1e-3, heard.end - heard.start)
            told[heard.name] = told.get(heard.name, 0.0) + length * heard.score
            weights[heard.name] = weights.get(heard.name, 0.0) + length
    levels = {name: told[name] / weights[name] for name in told}
    known = [name for name in template.measures if name in levels]
    ordered = [*known, *sorted(set(levels) - set(known))]
    patterns = template.high, template.low, template.very_high, template.very_low
    far = sorted(ordered, key=lambda name: -abs(levels[name]))[: rules.tones]
    for name in [name for name in ordered if name in far]:
        pattern = _pattern(levels[name], patterns, rules) or (rules.usual and template.usual)
        if pattern:
            yield _filled(pattern, name=template.measures.get(name, _plain(name)))


def _pattern(level: float, patterns: tuple[str, str, str, str], rules: Rules) -> str | None:
    """Of what is higher, lower, much higher and much lower; None where all is as usual."""
    unusual, very = rules.levels
    if abs(level) < unusual:
        return None
    return patterns[(0 if abs(level) < very else 2) + (level < 0)]


def _dimensions(cues: Cues) -> dict[str, float]:
    """The mean of each dimension over the stretches that say it, by their length."""
    sums: dict[str, tuple[float, float]] = {}
    for row in cues.dimensions or ():
        length = max(1e-3, min(row.end, cues.end) - max(row.start, cues.start))
        for name, value in row.values().items():
            if value is not None:
                total, weight = sums.get(name, (0.0, 0.0))
                sums[name] = total + length * value, weight + length
    return {name: total / weight for name, (total, weight) in sums.items()}


def _dimension(name: str, value: float, template: Template, rules: Rules) -> str:
    if rules.dimensions == "numbers":
        return _filled(template.number, name=name, value=f"{value:.2f}")
    return _filled(template.high if value > rules.dimension_threshold else template.low, name=name)


def _plain(text: str) -> str:
    """Text of others on one line: nothing in it ends the line or moves the cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _filled(pattern: str, **values: str) -> str:
    """A pattern with values in its places; braces that name nothing stay."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), pattern)
