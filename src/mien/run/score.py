"""How good a run is: scores with intervals, from predictions that are kept beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mien import tasks
from mien.config import RunConfig
from mien.data.manifest import Manifest, Row
from mien.errors import DataError, RunError
from mien.run import answers, assemble, checkpoint, decided, folder, slices
from mien.run.infer import Predictions
from mien.tasks import intervals, metrics
from mien.types import Problem, Specs

CHOSEN_ON_TEST = "The epoch was chosen on the test part: its scores are optimistic."
SEEN = "These rows include those it was trained on."
CUT_BY_CLIP = "Parts were cut by clip, not by speaker: scores are optimistic."
_FEW = 8  # slices of a field that are told one by one


def selection(
    found: Predictions, specs: Specs, metric: str | None
) -> tuple[float, dict[str, float]]:
    """The number an epoch is chosen by, the mean over tasks, and what goes into the log."""
    chosen: list[float] = []
    named: dict[str, float] = {}
    for name, spec in specs.items():
        if not len(found.tasks[name].owners()):
            raise DataError(
                f"no row of the part that selects has a label of task {name!r}",
                fix="train.select=last, or data.tasks without it",
            )
        asked = metric or tasks.default_metric(spec)
        wanted, scores = decided.scored(spec, found.tasks[name], asked)
        if wanted not in scores:
            raise DataError(
                f"task {name!r} has no score {asked!r}",
                fix=f"train.metric={tasks.default_metric(spec)}",
            )
        sign = 1 if metrics.higher_is_better(wanted) else -1
        chosen.append(sign * scores[wanted])
        named |= {f"{name}/{key}": scores[key] for key in tasks.headline(spec) if key in scores}
    return float(np.mean(chosen)), named


def report(found: Predictions, specs: Specs) -> dict[str, Any]:
    """Every task's scores, with intervals over clips and over groups."""
    return {
        name: _task_report(found, name, specs) for name in specs if len(found.tasks[name].owners())
    }


def _task_report(found: Predictions, name: str, specs: Specs) -> dict[str, Any]:
    spec, wanted = specs[name], tasks.headline(specs[name])
    pooled = slices.Pooled.of(found, found.tasks[name])
    drawn = pooled.drawn(spec)
    scores = tasks.scores(spec, pooled.targets, pooled.scores)
    body: dict[str, Any] = {"by": tasks.default_metric(spec), **pooled.sizes()}
    body |= {"scores": scores, "intervals": slices.chosen(drawn, wanted)}
    if spec.categorical:
        matrix = metrics.Confusion(spec.labels, spec.invalid).matrix(pooled.targets, pooled.scores)
        body["confusion"] = {"labels": list(spec.labels), "rows_are_targets": matrix.tolist()}
        body["per_class"] = metrics.per_class(matrix, spec.labels)
    elif spec.problem is Problem.MANY_OF_N:
        detection = metrics.Detection(spec.labels, spec.threshold, spec.invalid)
        body["per_class"] = detection.per_class(pooled.targets, pooled.scores)
    else:
        agreement = metrics.Agreement(spec.labels, spec.invalid)
        body["per_dimension"] = agreement.per_dimension(pooled.targets, pooled.scores)
    each = drawn.get("groups") or drawn.get("clips") or {}
    for label, row in (body.get("per_class") or body["per_dimension"]).items():
        row["intervals"] = {
            key: each[f"{key}/{label}"].to_dict() for key in [*row] if f"{key}/{label}" in each
        }
    body |= decided.report(found, spec, found.tasks[name], wanted)
    body["slices"] = slices.slices(found, name, specs, wanted)
    return body


# -- verbs -----------------------------------------------------------------------------------------


def evaluate(
    run: str | Path,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    labels: str | Path | None = None,
) -> dict[str, Any]:
    """Score a run on a manifest, or give the scores of its own test part.

    On a manifest with splits or folds only the run's test part of it is scored: its ``test`` rows,
    or the fold that the run left out.

    Args:
        run: run folder, or the folder of a family of folds and seeds (then without ``data``).
        data: manifest.
        out: where to write the JSON too.
        labels: a label set to answer with, where the run knows labels by what they say.
    """
    place = Path(run)
    if labels is not None and data is None:
        raise RunError("a run keeps no answers with other labels", fix="--data MANIFEST")
    if data is None:
        if not (place / folder.METRICS).is_file():
            raise RunError(
                "this folder holds no scores",
                where=str(place),
                fix=f"mien evaluate {place} --data MANIFEST",
            )
        metrics_found = checkpoint.read_object(place / folder.METRICS)
    else:
        metrics_found = _evaluate_on(place, Path(data), labels)
    if out is not None:
        checkpoint.write_json(Path(out), metrics_found)
    return metrics_found


def _evaluate_on(place: Path, data: Path, labels: str | Path | None) -> dict[str, Any]:
    from mien.run import infer
    from mien.run.load import load

    loaded = load(place, labels=labels)
    if not loaded.specs:
        raise RunError("this run learned no task", where=str(place), fix="mien train --init it")
    manifest = loaded.read(data)
    fold = loaded.card.get("fold")
    own = manifest.fingerprint() == loaded.card.get("data")
    rows = left_out(manifest, loaded.settings, fold, own)
    part = "all" if not rows else ("test" if fold is None else f"fold {fold}")
    chosen = rows or list(manifest.rows)
    found = infer.predict(loaded.whole, loaded.dataset(manifest, chosen), loaded.specs)
    body = report(found, loaded.specs)
    if not body:
        raise DataError("no row has labels of this run's tasks", where=str(data))
    notes = list(loaded.card.get("notes", [])) if own else []
    if own and not rows:
        notes.append(SEEN)
    if labels is not None:
        notes.append(f"Answered with other labels than it was trained with: {labels}.")
    return {
        "part": part,
        "seed": loaded.settings.seed,
        "fold": fold,
        "select": loaded.settings.train.select,
        "versions": folder.versions(),
        "notes": notes,
        "tasks": body,
    }


def left_out(manifest: Manifest, settings: RunConfig, fold: int | None, own: bool) -> list[Row]:
    """The rows that a run did not learn from; folds that were made for it are made again.

    Args:
        manifest: all rows.
        settings: how the run cut them.
        fold: the fold that it left out, if it has one.
        own: whether it was trained on this manifest.
    """
    if fold is None:
        return [row for row in manifest.rows if row.split == "test"]
    rows = assemble.folded(manifest, settings) if own else manifest.rows
    return [row for row in rows if row.fold == fold]


def summarise(out: Path, members: Sequence[Path]) -> None:
    """Scores of folds and seeds together: per member, mean over folds, and pooled answers."""
    names = [str(member.relative_to(out)) for member in members]
    checkpoint.write_json(out / folder.FAMILY, {"members": names})
    specs = folder.read_labels(members[0])
    cards = [checkpoint.read_json(member / folder.CARD) for member in members]
    seeds = sorted({card["seed"] for card in cards})
    by_seed = {}
    for seed in seeds:
        chosen = [m for m, card in zip(members, cards, strict=True) if card["seed"] == seed]
        by_seed[seed] = pooled(*answers.joined(chosen, specs), specs)
    metrics_found: dict[str, Any] = {
        "part": checkpoint.read_object(members[0] / folder.METRICS)["part"],
        "seeds": seeds,
        "folds": sorted({card["fold"] for card in cards if card["fold"] is not None}),
        "select": cards[0]["selection"]["part"],
        "versions": folder.versions(),
        "notes": cards[0]["notes"],
        "tasks": by_seed[seeds[0]],
    }
    if len(seeds) > 1:
        metrics_found["by_seed"] = {str(seed): body for seed, body in by_seed.items()}
        metrics_found["over_seeds"] = over_seeds(by_seed, specs)
    checkpoint.write_json(out / folder.METRICS, metrics_found)


def pooled(whole: Predictions, folds: Sequence[str], specs: Specs) -> dict[str, Any]:
    """The scores of all answers together; over folds, too, where each sample's fold is known."""
    body = report(whole, specs)
    for name in body if len(set(folds)) > 1 else ():
        targets, predictions = whole.tasks[name].pooled()
        owners = [folds[i] for i in whole.tasks[name].owners()]
        means = intervals.fold_mean(tasks.statistics(specs[name]), targets, predictions, owners)
        wanted = [key for key in tasks.headline(specs[name]) if key in means]
        body[name]["folds"] = {key: means[key].to_dict() for key in wanted}
    return body


def over_seeds(by_seed: Mapping[int, dict[str, Any]], specs: Specs) -> dict[str, Any]:
    """Mean and deviation of the first scores of each task over seeds."""
    found: dict[str, Any] = {}
    for name, spec in specs.items():
        for key in tasks.headline(spec):
            scored = [body[name]["scores"] for body in by_seed.values() if name in body]
            values = [scores[key] for scores in scored if key in scores]
            if len(values) < len(by_seed):
                continue  # a mean over other seeds than the table says would mislead
            found.setdefault(name, {})[key] = {
                "mean": float(np.mean(values)),
                "std": float(np.std(values, ddof=1)),
            }
    return found


# -- for people ------------------------------------------------------------------------------------


def announce(name: str) -> None:
    """Say which fold or seed begins."""
    Console(stderr=True).print(f"[bold]{name}[/bold]", highlight=False)


def table(found: Mapping[str, Any]) -> str:
    """Scores as lines: value, then 95 % intervals over clips and over groups."""
    lines = [_origin(found)]
    for name, body in found.get("tasks", {}).items():
        said = f"{body['clips']} clips of {body['groups']} groups"
        if body["answers"] > body["clips"]:
            said = f"{body['answers']} answers in {said}"
        lines.append(f"{name}: {said}")
        for key, drawn in body["intervals"].items():
            value = body["scores"][key]
            over = "  ".join(
                f"{unit} {i['low']:.3f} to {i['high']:.3f}" for unit, i in drawn.items()
            )
            folds = body.get("folds", {}).get(key)
            mean = f"  folds {folds['mean']:.3f} ± {folds['std'] or 0:.3f}" if folds else ""
            lines.append(f"  {key:<12} {value:.3f}  {over}{mean}")
        if "confusion" in body:
            recalls = {c: v["recall"] for c, v in body["per_class"].items()}
            said = ", ".join(f"{c} {r:.2f}" for c, r in recalls.items() if r is not None)
            lines.append(f"  {'recall':<12} {said}")
        lines += decided.lines(body) + _slice_lines(body)
    for name, scores in found.get("over_seeds", {}).items():
        said = ", ".join(f"{k} {v['mean']:.3f} ± {v['std']:.3f}" for k, v in scores.items())
        lines.append(f"{name} over {len(found['seeds'])} seeds: {said}")
    return "\n".join(lines + [f"note: {note}" for note in found.get("notes", [])])


def _slice_lines(body: Mapping[str, Any]) -> list[str]:
    """A line for each field: its slices, or the ends of their range where there are many."""
    lines, key = [], body.get("by")
    for field, found in body.get("slices", {}).items():
        parts = [part for part in found["slices"] if key in part.get("scores", {})]
        parts.sort(key=lambda part: part["scores"][key])
        told = [
            f"{'not stated' if part['value'] is None else part['value']} {part['scores'][key]:.2f}"
            for part in parts
        ]
        said = ", ".join(told or ["nothing"])
        if len(told) > _FEW:
            said = f"{len(told)} of them, from {told[0]} to {told[-1]}"
        small = len(found["slices"]) - len(told)
        rest = f"; {small} with too few clips for a score" if small else ""
        lines.append(f"  by {field}: {key} {said}{rest}")
    return lines


def _origin(found: Mapping[str, Any]) -> str:
    if not found.get("tasks"):
        return "no task was scored"
    part = found["part"]
    part = "held-out part, which also chose the epoch" if part == "held_out" else part
    return f"scored on: {part}; 95 % intervals"
