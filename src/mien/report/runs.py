"""`mien report`: one or several runs as one page and one JSON file, with everything they hold.

The page reads without a script and fetches nothing. Whatever stands on it stands in the JSON, too.
It stays below a megabyte by rule: where much is many, less of it is drawn (see :data:`_ROOMS`), and
the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from mien.errors import MienError, RunError
from mien.notice import INTENDED_USE
from mien.report import (
    curves,
    document,
    folders,
    heads,
    matrices,
    pairs,
    rebuilt,
    scores,
    terms,
    words,
)
from mien.report.folders import Json, Opened
from mien.report.numbers import numbers
from mien.run import checkpoint, compare, folder, pretraining
from mien.tasks import intervals

__all__ = ["LIMIT", "Report", "page", "report"]

LIMIT = 1_000_000
"""Bytes that a page may have."""
_MOST_RUNS = 24
_ALL_PAIRS = 6
"""Up to so many runs, each is compared with each; more, with the first."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a call.

    Args:
        path: the page.
        summary: every number on it, as in the JSON file beside it.
    """

    path: Path
    summary: Json


@dataclass(frozen=True, slots=True)
class _Room:
    """How much of what is many is drawn.

    Args:
        slices: of a field.
        trainings: curves of a stage.
        labels: plots of single labels or dimensions.
        rows: classes, labels or dimensions in their table.
        cells: classes in a confusion matrix.
        counts: whether a large matrix is shown twice, as shares and as counts.
        clips: that a pre-training rebuilt.
    """

    slices: int
    trainings: int
    labels: int
    rows: int
    cells: int
    counts: bool
    clips: int


_ROOMS = (
    _Room(60, 24, 60, 400, 80, counts=True, clips=4),
    _Room(24, 12, 24, 120, 48, counts=False, clips=2),
    _Room(8, 4, 6, 24, 12, counts=False, clips=1),
)


def report(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    data: str | Path | None = None,
) -> Report:
    """Put everything about one or several runs on one page, and into one JSON file beside it.

    Args:
        runs: finished runs, or families of folds and seeds; each family counts as one run.
        out: the page, ending in ``.html``, or a folder for it. None: ``report.html`` in the run's
            own folder, for several runs here.
        data: manifest whose clips are shown to runs that rebuild what is hidden; None: no run is
            loaded.
    """
    places = list({Path(run).resolve(): Path(run) for run in runs}.values())
    if not 0 < len(places) <= _MOST_RUNS:
        raise RunError(
            f"a report is about 1 to {_MOST_RUNS} runs, not {len(places)}", fix="mien report RUN"
        )
    path = _path(places, None if out is None else Path(out))
    _spare(path.with_suffix(".json"))
    found = [
        folders.opened(place, name) for place, name in zip(places, _names(places), strict=True)
    ]
    told = [numbers(run) for run in found]
    pictures = [_asked(run, body, data) for run, body in zip(found, told, strict=True)]
    if data is not None and not any("pretraining" in body for body in told):
        raise RunError(
            "none of these runs rebuilds anything: --data is for masked pre-training",
            where=_title(found),
            fix="leave out --data; mien evaluate RUN --data scores a run on other clips",
        )
    summary: Json = {
        "title": _title(found),
        "versions": folder.versions(),
        "intended_use": INTENDED_USE,
        "runs": told,
        "comparison": _comparison(found),
    }
    html = page(summary, pictures)
    checkpoint.write_json(path.with_suffix(".json"), summary)
    checkpoint.write_bytes(path, html.encode())
    return Report(path, summary)


def _asked(found: Opened, body: Json, data: str | Path | None) -> rebuilt.Pictures:
    """Ask a self-supervised run about clips; its numbers go with the others, pictures come back."""
    first = next(iter(found.members.values()))
    if data is None or folder.read_labels(first):
        return {}
    asked = pretraining.ask(first, data, shown=_ROOMS[0].clips)
    if asked is None:
        return {}
    body["pretraining"] = asked.numbers
    return asked.clips


def _path(places: Sequence[Path], out: Path | None) -> Path:
    if out is None:
        return places[0] / "report.html" if len(places) == 1 else Path("report.html")
    if out.is_dir():
        return out / "report.html"
    if out.suffix.lower() not in (".html", ".htm"):
        raise RunError(
            f"a report is a page: its name ends in .html, not {out.suffix!r}",
            where=str(out),
            fix=f"--out {out.with_suffix('.html')}",
        )
    return out


def _spare(path: Path) -> None:
    """Refuse to write numbers over a JSON file that is no report, such as a run's own scores."""
    if not path.exists():
        return
    try:
        before = checkpoint.read_json(path)
    except RunError:
        before = None
    if not (isinstance(before, dict) and {"runs", "comparison", "intended_use"} <= before.keys()):
        raise RunError(
            f"the numbers of this report would be written over {path.name}",
            where=str(path.parent),
            fix=f"--out {path.with_name('report.html')}",
        )


def _names(places: Sequence[Path]) -> list[str]:
    """Names of folders, with as much of what is above them as it takes to tell them apart."""
    parts = [place.resolve().parts for place in places]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-depth:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return names


def _title(found: Sequence[Opened]) -> str:
    if len(found) <= 3:
        return ", ".join(run.name for run in found)
    return f"{len(found)} runs"


# -- runs against each other -----------------------------------------------------------------------


def _comparison(found: Sequence[Opened]) -> Json:
    """Differences of each two runs on the same clips, and why there are none of others."""
    made, left_out = [], []
    every = (
        combinations(found, 2) if len(found) <= _ALL_PAIRS else ((found[0], b) for b in found[1:])
    )
    for one, two in every:
        if one.kept is None or two.kept is None:
            lacking = one if one.kept is None else two
            left_out.append(f"{one.name} and {two.name}: {lacking.name} keeps no answers")
            continue
        try:
            made.append(
                compare.difference(one.kept, two.kept) | {"run": one.name, "other": two.name}
            )
        except MienError as error:
            left_out.append(f"{one.name} and {two.name}: {error.what}")
    compare.correct(made)
    return {"pairs": made, "left_out": left_out}


# -- the page --------------------------------------------------------------------------------------


def page(summary: Json, pictures: Sequence[rebuilt.Pictures] = ()) -> str:
    """The page of a summary: as much of it as fits.

    Args:
        summary: what :func:`report` gathered.
        pictures: of each run, or of none.
    """
    shown = pictures or [{}] * len(summary["runs"])
    for room in _ROOMS:
        body = _body(summary, shown, room)
        html = document.document(summary["title"], body, style="runs.css")
        if len(html.encode()) <= LIMIT:
            return html
    raise RunError(
        f"the report of {len(summary['runs'])} runs does not fit into {LIMIT // 1000} kB",
        fix="fewer runs",
    )


def _body(summary: Json, pictures: Sequence[rebuilt.Pictures], room: _Room) -> str:
    runs: Sequence[Json] = summary["runs"]
    parts = [heads.header(summary["title"], runs, summary["intended_use"]), "<main>"]
    if len(runs) > 1:
        inside = pairs.compared(runs, summary["comparison"])
        parts.append(f'<section id="compared"><h2>Side by side</h2>{inside}</section>')
    parts += [
        _run(run, own, i, len(runs) > 1, room)
        for i, (run, own) in enumerate(zip(runs, pictures, strict=True))
    ]
    parts.append(f"</main>{_footer(summary['versions'])}")
    return "".join(parts)


def _footer(versions: Mapping[str, str]) -> str:
    made = ", ".join(f"{words.safe(k, 20)} {words.safe(v, 20)}" for k, v in versions.items())
    return (
        f'<footer class="muted">Made with {made}. Intervals are percentiles of '
        f"{intervals.RESAMPLES:,} bootstrap resamples. All numbers stand in the JSON file beside "
        "this page.</footer>"
    )


def _run(run: Json, pictures: rebuilt.Pictures, number: int, several: bool, room: _Room) -> str:
    name = f"<h2>{words.named(run['name'], 100)}</h2>" if several else "<h2>What was trained</h2>"
    parts = [name, heads.about(run)]
    parts += [_task(task, body, run, room) for task, body in run["tasks"].items()]
    if "pretraining" in run or not (run["tasks"] or run["missing"]):
        parts.append(rebuilt.section(run, pictures, room.clips))
    drawn = curves.learning(run, room.trainings)
    parts.append(_part("Learning curves", drawn) if drawn else "")
    parts.append(heads.settings(run))
    return f'<section id="{heads.anchor(number)}">{"".join(parts)}</section>'


def _task(task: str, body: Json, run: Json, room: _Room) -> str:
    spec, seeds = body["spec"], run.get("over_seeds", {})
    of_seed = f" The scores are those of seed {run['scored_seed']}." if run.get("by_seed") else ""
    parts = [
        f"<h3>{words.named(task, 80)}</h3><p>{terms.task(spec).capitalize()}. "
        f"{terms.many(body['clips'], 'clip')} of {terms.many(body['groups'], 'group')}"
        + (f", {terms.many(body['answers'], 'answer')}" if body["answers"] > body["clips"] else "")
        + f".{of_seed}</p>",
        scores.headline(body, seeds.get(task, {})),
        _part("Counted otherwise", scores.otherwise(body)),
        _part("Folds", scores.by_fold(body, run["scored_seed"])),
        _part("Seeds", scores.by_seed(run.get("by_seed", {}), seeds, task)),
    ]
    if "confusion" in body:
        confusion = _part("Confusion", matrices.confusion(body, room.cells, counts=room.counts))
        calibration = _part("Calibration", curves.reliability(body))
        side = "beside" if len(spec["labels"]) <= matrices.BESIDE else "below"
        parts.append(f'<div class="{side}">{confusion}{calibration}</div>')
    parts.append(
        _part(
            "Dimensions" if "per_dimension" in body else "Classes", scores.by_label(body, room.rows)
        )
    )
    if "thresholds" in body:
        parts.append(_part("Thresholds", curves.thresholds(body, room.labels)))
    if "joint" in body:
        few = list(body["joint"].items())[: room.labels]
        drawn = "".join(
            matrices.joint(label, found, body["per_dimension"][label]) for label, found in few
        )
        parts.append(_part("Values", f'<div class="pair">{drawn}</div>'))
    parts.append(_part("Groups", scores.by_group(body, room.slices)))
    parts.append(_part("Mistakes", scores.mistakes(body)))
    return f'<section class="task">{"".join(parts)}</section>'


def _part(title: str, inside: str) -> str:
    return f'<section class="part"><h4>{title}</h4>{inside}</section>' if inside else ""
