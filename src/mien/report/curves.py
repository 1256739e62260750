"""Curves: how a training went, how far probabilities can be believed, F1 by threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mien.report import cells, plots, terms, words
from mien.report.cells import Column
from mien.report.folders import Json
from mien.tasks import metrics

_MOST_TERMS = 6  # of a plot
_MOST_CHARTS = 4
_COLOURS = ("k2", "k6", "k4", "k8", "k5", "k3")

Series = Sequence[float | None]


def learning(run: Json, most: int) -> str:
    """Losses and held-out scores by epoch, a pair of plots for each stage.

    Args:
        run: a run's numbers.
        most: trainings that are drawn at most.
    """
    stages: dict[str, list[Json]] = {}
    for curve in run["curves"]:
        stages.setdefault(curve["stage"], []).append(curve)
    wanted = [f"{name}/{body['by']}" for name, body in run["tasks"].items()]
    return "".join(
        _stage(stage, curves[:most], wanted, len(curves)) for stage, curves in stages.items()
    )


def _stage(stage: str, curves: Sequence[Json], wanted: Sequence[str], count: int) -> str:
    losses = _terms(curves, "train")
    kept = list(dict.fromkeys(name for curve in curves for name in curve["held_out"]))
    scores = [name for name in wanted if name in kept] or [n for n in kept if n not in losses]
    parts = []
    for at in range(0, len(losses), _MOST_TERMS):
        own = losses[at : at + _MOST_TERMS]
        shared = [name for name in own if name in kept]  # a stage without tasks scores its terms
        title = f"{stage}: {'more ' * bool(at)}losses"
        parts.append(_chart(title, "loss", curves, own, shared, chosen=not scores))
        if scores:  # its terms matter less than what it was trained for
            break
    if scores:
        parts.append(
            _chart(
                f"{stage}: held-out scores", "score", curves, [], scores[:_MOST_TERMS], chosen=True
            )
        )
    few = f" Of {count} trainings, {len(curves)} are drawn." if len(curves) < count else ""
    thin = " Thin: each training; thick: their mean." if len(curves) > 1 else ""
    caption = (
        f"Stage <b>{words.safe(stage, 60)}</b>.{thin} A ring marks the epoch that was kept.{few}"
    )
    return plots.figure(
        "".join(filter(None, parts)), caption, _table(stage, curves, losses, scores)
    )


def _terms(curves: Sequence[Json], part: str) -> list[str]:
    """The terms of a loss, the whole of it first."""
    names = list(dict.fromkeys(name for curve in curves for name in curve[part]))
    return sorted(names, key=lambda name: name != "loss")[: _MOST_TERMS * _MOST_CHARTS]


def _chart(
    title: str,
    upwards: str,
    curves: Sequence[Json],
    train: Sequence[str],
    held: Sequence[str],
    *,
    chosen: bool,
) -> str:
    """One plot of several terms: on train as lines, on the held-out part dashed where both are."""
    epochs = [epoch for curve in curves for epoch in curve["epochs"]]
    looks = {name: _COLOURS[i] for i, name in enumerate(dict.fromkeys([*train, *held]))}
    drawn = [("train", name, "") for name in train]
    drawn += [("held_out", name, " dashed" if name in train else "") for name in held]
    values = [v for part, name, _ in drawn for c in curves for v in c[part].get(name, ())]
    if not any(value is not None for value in values):
        return ""
    least = 0.0 if min(v for v in values if v is not None) >= 0 and upwards == "loss" else None
    ends = (float(min(epochs)), float(max(epochs)))
    frame = plots.Frame(
        x=ends if ends[1] > ends[0] else (ends[0] - 1, ends[1] + 1),
        y=plots.limits(values, least=least),
        whole=True,
    )
    shapes = [frame.axes("epoch", upwards)]
    for part, name, dash in drawn:
        shapes.append(_lines(frame, curves, part, name, looks[name] + dash))
        if chosen and part == "held_out":
            shapes.append(_rings(frame, curves, name, looks[name]))
    dots = "".join(
        f'<li><i class="dash{dash} {looks[name]}"></i>'
        f"{words.named(_called(name), 60)}{' (held out)' if dash else ''}</li>"
        for _, name, dash in drawn
    )
    drawing = frame.svg(title, "".join(shapes))
    return (
        f'<div class="chart"><h5>{words.safe(title, 80)}</h5>{drawing}'
        f'<ul class="legend">{dots}</ul></div>'
    )


def _called(term: str) -> str:
    """A term of the log as a page names it: ``emotion/uar`` is a task's score."""
    task, _, name = term.rpartition("/")
    return f"{task}: {terms.score(name)}" if task else term


def _lines(frame: plots.Frame, curves: Sequence[Json], part: str, name: str, look: str) -> str:
    """Each training as a thin line, and their mean as a thick one."""
    own = [curve for curve in curves if name in curve[part]]
    paths = [frame.path(zip(c["epochs"], c[part][name], strict=False)) for c in own]
    if len(own) == 1:
        return f'<path class="line {look}" d="{paths[0]}"/>'
    thin = f'<path class="line thinner {look}" d="{"".join(paths)}"/>'
    return thin + f'<path class="line {look}" d="{frame.path(_mean(own, part, name))}"/>'


def _mean(curves: Sequence[Json], part: str, name: str) -> list[tuple[float, float]]:
    """Mean by epoch, as far as most trainings got."""
    found: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in zip(curve["epochs"], curve[part][name], strict=False):
            if value is not None:
                found.setdefault(epoch, []).append(value)
    most = max((len(values) for values in found.values()), default=0)
    return [(e, float(np.mean(v))) for e, v in sorted(found.items()) if 2 * len(v) > most]


def _rings(frame: plots.Frame, curves: Sequence[Json], name: str, look: str) -> str:
    rings = []
    for curve in curves:
        by_epoch = dict(zip(curve["epochs"], curve["held_out"].get(name, ()), strict=False))
        value = by_epoch.get(curve["chosen"])
        if value is not None:
            x, y = frame.across(curve["chosen"]), frame.down(value)
            rings.append(f'<circle class="ring {look}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    return "".join(rings)


def _table(stage: str, curves: Sequence[Json], losses: Sequence[str], scores: Sequence[str]) -> str:
    """The ends of each curve, and where it was cut."""
    loss = losses[0] if losses else None
    columns: list[Column] = [("Training", ""), ("Epochs", "n"), ("Kept epoch", "n")]
    columns += [("First loss", "n"), ("Last loss", "n")] * (loss is not None)
    columns += [(f"{words.named(_called(name), 60)}, kept", "n") for name in scores]
    rows = []
    for curve in curves:
        row = [words.named(curve["member"], 60), terms.count(max(curve["epochs"]))]
        row.append("last" if curve["chosen"] is None else terms.count(curve["chosen"]))
        if loss is not None:
            values = [v for v in curve["train"].get(loss, ()) if v is not None]
            row += [terms.digits(values[0]), terms.digits(values[-1])] if values else ["", ""]
        for name in scores:
            by_epoch = dict(zip(curve["epochs"], curve["held_out"].get(name, ()), strict=False))
            row.append(terms.digits(by_epoch.get(curve["chosen"])))
        rows.append(row)
    return cells.table(f"Trainings of stage {stage}", columns, rows)


# -- calibration -----------------------------------------------------------------------------------


def reliability(body: Json) -> str:
    """Accuracy by confidence, with how many answers that is."""
    bins = body["reliability"]
    frame = plots.Frame(x=(0.0, 1.0), y=(0.0, 1.0), wide=340, high=300, bottom=36)
    bars, ends = [], []
    for one in bins:
        bars.append(frame.bar(one["low"], one["high"], one["accuracy"]))
        x, (low, high) = frame.across((one["low"] + one["high"]) / 2), one["interval"]
        ends.append(f"M{x:.1f} {frame.down(low):.1f}V{frame.down(high):.1f}")
    points = [(one["confidence"], one["accuracy"]) for one in bins]
    dots = "".join(
        f'<circle class="value" cx="{frame.across(x):.1f}" cy="{frame.down(y):.1f}" r="3"/>'
        for x, y in points
    )
    ece = terms.digits(body["scores"]["ece"])
    shapes = (
        f"{frame.axes('confidence', 'accuracy')}"
        f'<path class="bars" d="{"".join(bars)}"/>'
        f'<path class="ideal" d="{frame.path([(0, 0), (1, 1)])}"/>'
        f'<path class="ends" d="{"".join(ends)}"/>{dots}'
    )
    title = f"Reliability: accuracy by confidence; expected calibration error {ece}"
    caption = (
        "<b>Reliability</b>: how often the answer is right, by how sure the run was. On the line "
        f"it is as sure as it should be; below it, too sure. ECE {ece}. Whiskers: 95 % (Wilson), "
        "as if clips were independent."
    )
    drawing = frame.svg(title, shapes) + _counts(bins)
    return plots.figure(drawing, caption, _bins(bins))


def _counts(bins: Sequence[Json]) -> str:
    """How many answers lie in each bin."""
    most = max(one["count"] for one in bins)
    frame = plots.Frame(x=(0.0, 1.0), y=(0.0, most * 1.05), wide=340, high=86, bottom=18)
    bars = "".join(frame.bar(one["low"], one["high"], one["count"]) for one in bins)
    middle, floor = frame.across(0.5), frame.down(0)
    label = (
        f'<text class="tick" x="{frame.left - 6:g}" y="{frame.top + 8:g}" text-anchor="end">'
        f'{most}</text><path class="axis" d="M{frame.left:g} {floor:.1f}H{frame.across(1):g}"/>'
        f'<text class="tick" x="{middle:.1f}" y="{frame.high - 4:g}" text-anchor="middle">'
        "answers</text>"
    )
    return frame.svg("Answers by confidence", f'<path class="bars" d="{bars}"/>{label}')


def _bins(bins: Sequence[Json]) -> str:
    columns: list[Column] = [("Confidence", ""), ("Answers", "n"), ("Mean confidence", "n")]
    columns += [("Accuracy", "n"), ("95 %", "n")]
    rows = [
        [
            f"{terms.digits(one['low'], 2)} to {terms.digits(one['high'], 2)}",
            terms.count(one["count"]),
            terms.digits(one["confidence"]),
            terms.digits(one["accuracy"]),
            terms.span({"low": one["interval"][0], "high": one["interval"][1]}),
        ]
        for one in bins
    ]
    return cells.table(f"Reliability in {metrics.BINS} bins, empty ones left out", columns, rows)


# -- thresholds ------------------------------------------------------------------------------------


def thresholds(body: Json, most: int) -> str:
    """F1 of each label by the score from which it counts as present.

    Args:
        body: a task's numbers.
        most: labels that are drawn at most.
    """
    found, used = body["thresholds"], body["spec"]["threshold"]
    labels: Mapping[str, Json] = found["labels"]
    shown = list(labels.items())[:most]
    drawn = "".join(_threshold(label, one, found["at"], used) for label, one in shown)
    left = found["left_out"] + len(labels) - len(shown)
    rest = f" {left} labels are left out." if left else ""
    caption = (
        f"<b>F1 by threshold</b>. Upright: the threshold in use, {used:g}. The best one was found "
        f"on these very answers: what it promises is optimistic.{rest}"
    )
    return plots.figure(f'<div class="many">{drawn}</div>', caption, _best(shown))


def _threshold(label: str, one: Json, at: Sequence[float], used: float) -> str:
    frame = plots.Frame(
        x=(0.0, 1.0), y=(0.0, 1.0), wide=180, high=128, left=30, bottom=20, right=8, top=6
    )
    used_at = (
        f'<path class="ideal" d="M{frame.across(used):.1f} {frame.down(0):.1f}V{frame.top:g}"/>'
    )
    line = f'<path class="line k2" d="{frame.path(zip(at, one["f1"], strict=False))}"/>'
    best = terms.digits(one["best_f1"], 2)
    svg = frame.svg(
        f"{label}: F1 by threshold, at best {best}", frame.axes("", "") + used_at + line
    )
    return f'<div class="chart"><h5>{words.named(label, 40)}</h5>{svg}</div>'


def _best(shown: Sequence[tuple[str, Json]]) -> str:
    columns: list[Column] = [("Label", ""), ("Best F1", "n"), ("At threshold", "n")]
    rows = [
        [
            words.named(label, 60),
            terms.digits(one["best_f1"]),
            terms.digits(one["best_threshold"], 2),
        ]
        for label, one in shown
    ]
    return cells.table("Best threshold of each label, found on these answers", columns, rows)
