"""What the answers are for, and what they are not: in the help, on every page, in every run."""

from __future__ import annotations

INTENDED_USE = (
    "These are a model's guesses about how people look and sound, not facts about what they feel. "
    "It names expressions of face and voice as it learned them from particular recordings, often "
    "acted ones, and it errs more often on people and situations unlike those. For research and "
    "for annotating your own material; do not use it to decide about anyone. In the European "
    "Union, inferring emotions at work or in education is prohibited except for medical or safety "
    "reasons (AI Act, Regulation 2024/1689, Article 5(1)(f)); other emotion recognition is "
    "high-risk (Annex III), and those exposed to it must be told (Article 50(3))."
)
