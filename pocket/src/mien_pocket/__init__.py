"""The run that mien answers with when none is named, in the folder ``run``; no code of its own.

Its weights are CC-BY-NC-SA-4.0; ``CARD.md`` says what they were trained on and where they fail.
"""
