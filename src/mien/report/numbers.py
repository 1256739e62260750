"""Every number of the report of one run: what it was trained on, how it went, what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mien import tasks
from mien.report import details, folders
from mien.report.folders import Json, Opened
from mien.run import score
from mien.types import Specs

_MOST_EPOCHS = 500
_MOST_TERMS = 40
_NO_TERM = ("stage", "epoch", "step", "lr", "clips_per_second")


def numbers(found: Opened) -> Json:
    """A run as plain JSON values: all that its part of the page shows."""
    first = found.cards[0]
    members = [_member(name, card) for name, card in zip(found.members, found.cards, strict=True)]
    body: Json = {
        "name": found.name,
        "family": found.family,
        "system": folders.text(first.get("system")),
        "preset": folders.text(first.get("preset")),
        "modalities": folders.texts(first.get("modalities")),
        "data": folders.text(first.get("data")),
        "licence": folders.text(first.get("licence")),
        "versions": folders.named_texts(first.get("versions")),
        "part": found.part,
        "select": folders.text(folders.mapping(first.get("selection")).get("part")),
        "seeds": sorted({m["seed"] for m in members if m["seed"] is not None}),
        "folds": sorted({m["fold"] for m in members if m["fold"] is not None}),
        "members": members,
        "notes": _notes(found),
        "missing": list(found.missing),
        "settings": _flat(found.settings),
        "curves": _curves(found),
        "tasks": {},
    }
    if found.kept is not None:
        body |= _scores(found)
    return body


def _member(name: str, card: Json) -> Json:
    selection = folders.mapping(card.get("selection"))
    chosen = selection.get("ids")
    return {
        "name": name,
        "seed": folders.whole(card.get("seed")),
        "fold": folders.whole(card.get("fold")),
        "sizes": folders.named_numbers(card.get("sizes")),
        "chose": len(chosen) if isinstance(chosen, list) else 0,
        "epoch": folders.whole(selection.get("epoch")),
        "score": folders.number(selection.get("score")),
    }


def _notes(found: Opened) -> list[str]:
    """What makes scores look better than they are, whoever said it: card, settings or scores."""
    notes = [note for card in found.cards for note in folders.texts(card.get("notes"), 20)]
    chose = {folders.text(folders.mapping(c.get("selection")).get("part")) for c in found.cards}
    if "test" in chose:
        notes.append(score.CHOSEN_ON_TEST)
    if folders.mapping(found.settings.get("data")).get("random_split") is True:
        notes.append(score.CUT_BY_CLIP)
    if found.part == "held_out":
        notes.append(
            "There was no test part: the scores are those of the held-out part, which also chose "
            "the epoch, and are optimistic."
        )
    return list(dict.fromkeys(notes))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings by their long names, as texts; few enough to read."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value and prefix.count(".") < 4:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"[:120]] = _shown(value)
        if len(found) > 150:
            break
    return found


def _shown(value: Any) -> str:
    """A setting as a text; of a place on somebody's machine its last part."""
    if isinstance(value, str) and PurePath(value).is_absolute():
        return f".../{PurePath(value).name}"
    return "none" if value is None else f"{value!r:.120}"


# -- how it went -----------------------------------------------------------------------------------


def _curves(found: Opened) -> list[Json]:
    """Losses and held-out scores by epoch, of each stage of each training."""
    curves = []
    for (name, lines), card in zip(
        zip(found.members, found.logs, strict=True), found.cards, strict=True
    ):
        stages: dict[str, list[Json]] = {}
        for line in lines:
            stage, epoch = folders.text(line.get("stage"), 60), folders.whole(line.get("epoch"))
            if stage is not None and epoch is not None:
                stages.setdefault(stage, []).append(line)
        chosen = folders.whole(folders.mapping(card.get("selection")).get("epoch"))
        for number, (stage, epochs) in enumerate(stages.items(), 1):
            last = number == len(stages)  # the card speaks of the last stage
            curves.append(_curve(name, stage, epochs, chosen if last else None))
    return curves


def _curve(member: str, stage: str, lines: Sequence[Json], chosen: int | None) -> Json:
    every = -(-len(lines) // _MOST_EPOCHS)
    kept = [
        line
        for at, line in enumerate(lines)
        if at % every == 0 or at + 1 == len(lines) or line["epoch"] == chosen
    ]
    terms = [n for n in dict.fromkeys(k for line in kept for k in line) if n not in _NO_TERM]
    series = {
        name[:80]: [folders.number(line.get(name)) for line in kept] for name in terms[:_MOST_TERMS]
    }
    return {
        "member": member,
        "stage": stage,
        "epochs": [line["epoch"] for line in kept],
        "every": every,
        "train": {n: v for n, v in series.items() if not n.startswith("held_out/")},
        "held_out": {
            n.removeprefix("held_out/"): v for n, v in series.items() if n.startswith("held_out/")
        },
        "rate": [folders.number(line.get("lr")) for line in kept],
        "chosen": chosen,
    }


# -- what came of it -------------------------------------------------------------------------------


def _scores(found: Opened) -> Json:
    """The scores of the first seed in full, those of the others in short."""
    kept = found.kept
    assert kept is not None
    by_seed = {
        seed: score.pooled(whole, kept.folds[seed], kept.specs)
        for seed, whole in kept.seeds.items()
    }
    first, *_ = by_seed
    body: Json = {"scored_seed": first, "tasks": by_seed[first]}
    for name, scored in body["tasks"].items():
        spec = kept.specs[name]
        scored["spec"] = spec.to_dict()
        scored |= details.details(kept.seeds[first], name, spec)
    if len(by_seed) > 1:
        body["by_seed"] = {
            str(seed): _short(scored, kept.specs) for seed, scored in by_seed.items()
        }
        body["over_seeds"] = score.over_seeds(by_seed, kept.specs)
    return body


def _short(scored: Json, specs: Specs) -> Json:
    return {
        name: {
            "scores": {
                k: own["scores"][k] for k in tasks.headline(specs[name]) if k in own["scores"]
            },
            "intervals": own["intervals"],
            "by": tasks.default_metric(specs[name]),
        }
        for name, own in scored.items()
    }
