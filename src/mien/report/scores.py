"""The scores of a task as tables with intervals: the whole, classes, groups, folds, mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mien.report import plots, terms, words
from mien.report.cells import Column, folded, table
from mien.report.folders import Json
from mien.report.plots import Pair
from mien.run import decided
from mien.run.slices import FEW_CLIPS, FEW_GROUPS

_FEW_GROUPS = 10
_OPEN = 12
"""Slices of a field that are shown at once; more are folded away."""
_STRIP: Column = ("", "g")
_WAYS = {
    "vote": "the most frequent class of their frames",
    "logits": "the mean logit of their frames",
    "probabilities": "the mean probability of their frames",
}
_MEAN = "<b>mean&nbsp;±&nbsp;sd</b>"


def headline(body: Json, over_seeds: Mapping[str, Any]) -> str:
    """Every score of the whole, with intervals, over folds and over seeds."""
    scores, folds = body["scores"], body.get("folds", {})
    names = [name for name in scores if "/" not in name]
    columns: list[Column] = [("Score", ""), ("Value", "n"), _STRIP]
    columns += [("95 % over groups", "n"), ("95 % over clips", "n")]
    columns += [("Folds, mean ± sd", "n")] * bool(folds)
    columns += [("Seeds, mean ± sd", "n")] * bool(over_seeds)
    columns += [("Guessing", "n")] * bool(body["guessing"])
    rows = []
    for name in names:
        drawn = body["intervals"].get(name, {})
        guess = body["guessing"].get(name)
        row = [
            f"{terms.titled(name)} <small>{terms.about(name)}</small>",
            f"<b>{terms.digits(scores[name])}</b>",
            _strip(scores[name], drawn, scale(name, [scores[name], *ends(drawn)]), guess)
            if drawn
            else "",
            terms.span(drawn.get("groups")),
            terms.span(drawn.get("clips")),
        ]
        row += [terms.spread(folds.get(name))] * bool(folds)
        row += [terms.spread(over_seeds.get(name))] * bool(over_seeds)
        row += [terms.digits(guess) if guess is not None else ""] * bool(body["guessing"])
        rows.append(row)
    return table("Scores with 95 % bootstrap intervals", columns, rows) + _read(body)


def _read(body: Json) -> str:
    """How the intervals are to be read."""
    said = []
    if body["intervals"]:
        said.append(
            "On the lines: thick over clips, thin over groups (speakers, or sources where there "
            "are none). Clips of one speaker resemble each other, so the thin one speaks of new "
            "people."
        )
    if 1 < body["groups"] < _FEW_GROUPS:
        said.append(f"Only {body['groups']} groups: intervals over so few are too narrow.")
    elif body["groups"] == 1:
        said.append("All clips are of one group: nothing is known of others.")
    if body["guessing"]:
        said.append("Guessing: always the most frequent class (WAR), any one class (UAR).")
    return f'<p class="muted">{" ".join(said)}</p>' if said else ""


def scale(name: str, values: Iterable[float | None]) -> Pair:
    """Ends of the line that scores are drawn on: what a score can reach, or what there is."""
    known = [0.0, *(value for value in values if value is not None)]
    if name in ("ccc", "pearson"):
        return (-1.0 if min(known) < 0 else 0.0, 1.0)
    return (0.0, max(1.0, *known) if name in ("nll", "brier", "mae", "rmse") else 1.0)


def ends(drawn: Mapping[str, Any]) -> list[float]:
    """Both ends of every interval."""
    return [end for found in drawn.values() for end in (found["low"], found["high"])]


def _strip(
    value: float | None, drawn: Mapping[str, Any], ends: Pair, mark: float | None = None
) -> str:
    spans = {unit: (i["low"], i["high"]) for unit, i in drawn.items()}
    return plots.strip(value, spans, ends, [] if mark is None else [mark])


def otherwise(body: Json) -> str:
    """The same answers counted in other ways: clip by clip, and without classes set aside."""
    told = list(_ways(body, ""))
    if "asked" in body:
        asked = body["asked"]
        few = f"{len(asked['labels'])} classes that are asked for"
        told += [(few.capitalize(), asked), *_ways(asked, f", {few}")]
    basics = "".join(
        f"<p>{what}: F1 {terms.digits(found['basics']['scores'].get('f1'))}.</p>"
        for what, found in (
            ("Basic emotions behind the compound ones", body),
            ("Basic emotions behind those that are asked for", body.get("asked", {})),
        )
        if "basics" in found
    )
    if not told:
        return basics
    names = [name for name in decided.SHOWN if any(name in found["scores"] for _, found in told)]
    columns: list[Column] = [("What is counted", ""), ("Clips", "n")]
    columns += [(terms.score(name), "n") for name in names]
    rows = [
        [words.safe(what, 120), terms.count(found["clips"]), *(_drawn(found, n) for n in names)]
        for what, found in told
    ]
    return table("The same answers; 95 % bootstrap intervals", columns, rows) + basics


def _ways(body: Json, of: str) -> Iterator[tuple[str, Json]]:
    for way, found in body.get("decided", {}).items():
        yield f"Clips by {_WAYS.get(way, way)}{of}", found


def _drawn(body: Json, name: str) -> str:
    drawn = body["intervals"].get(name, {})
    span = drawn.get("groups") or drawn.get("clips")
    return f"{terms.digits(body['scores'].get(name))} <small>{terms.span(span)}</small>"


# -- classes, labels, dimensions -------------------------------------------------------------------


def by_label(body: Json, most: int) -> str:
    """Each class, label or dimension, with intervals of what matters most of it.

    Args:
        body: a task's numbers.
        most: rows at most; the first ones are kept.
    """
    rows = body.get("per_class") or body["per_dimension"]
    regression = "per_dimension" in body
    key = "ccc" if regression else ("recall" if "confusion" in body else "f1")
    names = ["ccc", "pearson", "mae", "rmse"] if regression else ["precision", "recall", "f1"]
    columns: list[Column] = [("Dimension" if regression else "Class", "")]
    columns += [(terms.score(name), "n") for name in names]
    columns += [(f"{terms.score(key)}, 95 %", "n"), _STRIP]
    columns.append(("Answers" if regression else "Support", "n"))
    drawings = [end for row in rows.values() for end in (row[key], *ends(row["intervals"]))]
    line = scale(key, drawings)
    told = []
    for label, row in list(rows.items())[:most]:
        drawn = row["intervals"].get(key)
        told.append(
            [
                words.named(label, 60),
                *(terms.digits(row[name]) for name in names),
                terms.span(drawn),
                _strip(row[key], {drawn["over"]: drawn} if drawn else {}, line),
                terms.count(row["answers"] if regression else row["support"]),
            ]
        )
    over = {i["over"] for row in rows.values() for i in row["intervals"].values()}
    left = f"; {len(rows) - most:,} more in the JSON file" if len(rows) > most else ""
    told_of = f"; intervals over {' and '.join(sorted(over))}" if over else ""
    return table(f"Each {'dimension' if regression else 'class'}{told_of}{left}", columns, told)


# -- groups ----------------------------------------------------------------------------------------


def by_group(body: Json, most: int) -> str:
    """The slices of each field, drawn on one scale.

    Args:
        body: a task's numbers.
        most: rows of a field at most; the slices with most clips are kept.
    """
    fields = body["slices"]
    if not fields:
        return "<p>No groups are known to compare: the manifest has no such fields or speakers.</p>"
    parts = [_field(name, found, body, most) for name, found in fields.items()]
    note = (
        f"Slices of fewer than {FEW_CLIPS} clips get no score. Among many slices one lies apart by "
        "chance; nothing is corrected for that here. The mark is the score of all clips. Intervals "
        f"are over groups where a slice has {FEW_GROUPS}, else over clips."
    )
    return f'{"".join(parts)}<p class="muted">{note}</p>'


def _field(name: str, found: Json, body: Json, most: int) -> str:
    key, slices = body["by"], found["slices"]
    if all(part.get("too_small") for part in slices):
        few = f"{terms.many(len(slices) + found['left_out'], 'slice')}, all of too few clips."
        return f"<p>By {words.named(name, 60)}: {few}</p>"
    classes = max((part.get("classes", 0) for part in slices), default=0)
    fewer = any(part.get("classes", classes) < classes for part in slices)
    columns: list[Column] = [(words.named(name, 60), ""), ("Clips", "n"), ("Groups", "n")]
    columns += [("Classes", "n")] * fewer
    columns += [(terms.score(key), "n"), ("95 %", "n"), _STRIP]
    left = found["left_out"] + max(len(slices) - most, 0)
    more = f"; {left:,} slices with fewer clips are left out" if left else ""
    values = [part["scores"][key] for part in slices if key in part.get("scores", {})]
    drawn = [end for part in slices for end in ends(part.get("intervals", {}).get(key, {}))]
    line = scale(key, [*values, *drawn, body["scores"].get(key)])
    rows = [_slice(part, body, line, fewer=fewer) for part in slices[:most]]
    title = f"{terms.score(key)} by {name}{more}"
    inside = table(title, columns, rows)
    if len(rows) <= _OPEN:
        return inside
    reach = f", {terms.digits(min(values))} to {terms.digits(max(values))}" if values else ""
    rug = plots.rug(values, line, body["scores"].get(key, 0.0))
    return folded(f"{words.safe(title, 200)}: {len(rows)} slices{reach} {rug}", inside)


def _slice(part: Json, body: Json, line: Pair, *, fewer: bool) -> list[str]:
    value = words.named(part["value"], 80) if part["value"] is not None else "<i>not stated</i>"
    row = [value, terms.count(part["clips"]), terms.count(part["groups"])]
    row += [terms.count(part.get("classes", 0))] * fewer
    key = body["by"]
    score = part.get("scores", {}).get(key)
    if score is None:
        why = "too few clips" if part.get("too_small") else "not defined"
        return [*row, "", f"<small>{why}</small>", ""]
    drawn = part["intervals"].get(key, {})
    mark = body["scores"].get(key)
    strip = _strip(score, drawn, line, mark)
    span = drawn.get("groups") or drawn.get("clips")
    return [*row, terms.digits(score), terms.span(span), strip]


# -- folds and seeds -------------------------------------------------------------------------------


def by_fold(body: Json, seed: int) -> str:
    """Each fold's score, and their mean."""
    folds = body.get("folds", {})
    if not folds:
        return ""
    names = [name for name in folds if name in body["intervals"] or name in body["scores"]]
    every = dict.fromkeys(fold for name in names for fold in folds[name]["folds"])
    columns: list[Column] = [("Fold", ""), *((terms.score(name), "n") for name in names), _STRIP]
    key = body["by"] if body["by"] in names else names[0]
    line = scale(key, folds[key]["folds"].values())
    rows = []
    for fold in every:
        values = [folds[name]["folds"].get(fold) for name in names]
        strip = _strip(folds[key]["folds"].get(fold), {}, line)
        rows.append([words.named(fold, 40), *map(terms.digits, values), strip])
    rows.append([_MEAN, *(terms.spread(folds[name]) for name in names), ""])
    rows.append(["<b>pooled</b>", *(terms.digits(folds[name]["pooled"]) for name in names), ""])
    return table(f"Each fold of seed {seed}; the line shows {terms.score(key)}", columns, rows)


def by_seed(by: Mapping[str, Any], over: Mapping[str, Any], task: str) -> str:
    """Each seed's score of all folds together, and their mean."""
    own = {seed: found[task] for seed, found in by.items() if task in found}
    if len(own) < 2:
        return ""
    names = list(dict.fromkeys(name for found in own.values() for name in found["scores"]))
    columns: list[Column] = [("Seed", ""), *((terms.score(name), "n") for name in names)]
    rows = [
        [words.safe(seed), *(terms.digits(found["scores"].get(name)) for name in names)]
        for seed, found in own.items()
    ]
    means = over.get(task, {})
    rows.append([_MEAN, *(terms.spread(means.get(name)) for name in names)])
    return table("Each seed", columns, rows)


# -- mistakes --------------------------------------------------------------------------------------


def mistakes(body: Json) -> str:
    """Where the run was surest, and wrong."""
    found: Sequence[Json] = body["mistakes"]
    if not found:
        return "<p>There is no mistake among the answers.</p>"
    placed = any("position" in one for one in found)
    columns: list[Column] = [("Clip", ""), *[("Position", "n")] * placed, ("Group", "")]
    classes, labels = "said" in found[0], body["spec"]["problem"] == "many_of_n"
    columns += [("Label", ""), ("Said", "")] if classes else [("Label", "")]
    columns += (
        [("Its score", "n"), ("Score of the label", "n")]
        if classes
        else [("Target", "" if labels else "n"), ("Score" if labels else "Said", "n")]
    )
    title = "Most confident mistakes" if classes or labels else "Largest errors"
    return table(title, columns, _mistakes(found, placed, classes, labels))


def _mistakes(
    found: Sequence[Json], placed: bool, classes: bool, labels: bool
) -> Iterator[list[str]]:
    for one in found:
        row = [words.named(one["clip"], 60)]
        row += [terms.count(one.get("position", 0))] * placed
        row.append(words.named(one["group"], 40))
        if classes:
            row += [words.named(one["target"], 40), words.named(one["said"], 40)]
            yield [*row, terms.digits(one["score"], 2), terms.digits(one["score_of_target"], 2)]
        else:
            target = ("not there", "there")[one["target"] >= 0.5] if labels else None
            row += [words.named(one["label"], 40), target or terms.digits(one["target"], 2)]
            yield [*row, terms.digits(one["score"], 2)]
