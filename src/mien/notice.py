"""What the answers are for, and what they are not: in the help, on every page, in every run."""

from __future__ import annotations

INTENDED_USE = (
    "Emotion labels are guesses about how people look and sound, not facts about what they feel. "
    "The models that make them are often wrong, and learned from acted or annotated clips. They "
    "are for research and for annotating your own material. Do not use them to decide about "
    "anyone. In the EU, inferring emotions at work and in education is prohibited (AI Act, "
    "Regulation 2024/1689, article 5), save for medical or safety reasons, and people must be told "
    "where such a system is used on them (article 50)."
)
