"""The story in a minute, offline: a corpus, a system trained on it, held-out speakers, answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mien.data import synthetic
from mien.run import say
from mien.run.load import load
from mien.run.train import train

_PARTS = {"video": ["video"], "audio": ["audio"], "both": ["audio", "video"]}


def demo(out: str | Path, *, seed: int = 0, quiet: bool = False) -> tuple[dict[str, Any], str]:
    """Train CLAIP-Emo's feature preset on each modality and on both; score speakers never heard.

    Run it again and finished parts are not trained anew.

    Returns:
        The metrics of the run with both modalities, and words for a person: the comparison of
        modalities and what that run says of three held-out clips.
    """
    place = Path(out)
    corpus = synthetic.features(place / "corpus", seed=seed)
    scores, metrics = [], {}
    for name, modalities in _PARTS.items():
        metrics = train(
            "claip-emo",
            preset="features",
            data=corpus,
            out=place / f"run-{name}",
            overrides=[f"model.modalities=[{', '.join(modalities)}]", "epochs=15", f"seed={seed}"],
            quiet=quiet,
        )
        found = metrics["tasks"]["emotion"]["intervals"]["uar"]["groups"]
        scores.append(
            f"  {name:<6} UAR {found['value']:.2f}  ({found['low']:.2f} to {found['high']:.2f})"
        )
    run = load(place / "run-both")
    test = run.read(corpus)
    test = test.only([row for row in test.rows if row.split == "test"][:3])
    said = say.lines(run.predict(test), run.specs)
    words = ["held-out speakers, 95 % intervals over speakers:", *scores, "", "three clips:", said]
    words += ["", f"next: mien predict {corpus} --run {place / 'run-both'}"]
    return metrics, "\n".join(words)
