"""What a masked pre-training shows of itself: what it rebuilds, and which halves it finds.

All texts are escaped here; numbers are those of :mod:`mien.run.pretraining`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mien.report import cells, plots, stills, terms, words
from mien.report.cells import Column
from mien.report.folders import Json
from mien.run.pretraining import Side

Pictures = Mapping[str, Mapping[str, Side]]
"""The sides of a few clips, by clip and modality."""

_PARTS = {
    "held_out": "the held-out part of its own manifest",
    "test": "the test part",
    "all": "all rows of the manifest",
}
_WAYS = ("k2", "k6")  # colours of the two directions
_NOT_ASKED = (
    "It learned no task, so there is nothing to score: a self-supervised stage. If it rebuilds "
    "what was hidden, mien report --data MANIFEST shows it."
)


def section(run: Json, pictures: Pictures, most: int) -> str:
    """Everything that was asked of a run; a sentence where nothing was.

    Args:
        run: its numbers.
        pictures: of a few clips.
        most: clips that are drawn at most.
    """
    asked = run.get("pretraining")
    if asked is None:
        return f"<p>{words.safe(_NOT_ASKED, 400)}</p>"
    clips = asked["clips"][:most]
    drawn = "".join(_clip(clip, pictures.get(clip["id"], {})) for clip in clips)
    few = f" {len(clips)} of them are drawn." if clips else ""
    notes = "".join(f" <b>{words.safe(note, 300)}</b>" for note in asked["notes"])
    told = f"Asked about {_asked(asked)}.{few}{notes}"
    return (
        f'<section class="part"><h4>Rebuilt</h4><p>{told}</p>'
        f'{_errors(asked["rebuilt"])}<p class="muted">{_explained(asked["rebuilt"])}</p>'
        f"{drawn}</section>"
        f'<section class="part"><h4>Retrieval</h4>{_retrieval(asked)}</section>'
    )


def _asked(asked: Json) -> str:
    """How many clips of which part."""
    some, whole = asked["asked"], asked["rows"]
    count = terms.many(some, "clip") if some == whole else f"{some:,} of {whole:,} clips"
    return f"{count}: {_PARTS[asked['part']]}"


# -- what was rebuilt ------------------------------------------------------------------------------


def _errors(means: Mapping[str, Json]) -> str:
    columns: list[Column] = [("Modality", ""), ("Clips", "n"), ("Hidden", "n"), ("Patch", "n")]
    columns += [("Error ↓", "n"), ("Flat patches", "n"), ("Of that", "n")]
    rows = [
        [
            words.named(name, 40),
            terms.count(own["clips"]),
            f"{100 * own['hidden']:.0f} %",
            " × ".join(str(side) for side in own["patch"]),  # noqa: RUF001
            terms.digits(own["error"]),
            terms.digits(own["flat"]),
            f"{100 * own['error'] / own['flat']:.0f} %" if own["flat"] else "",
        ]
        for name, own in means.items()
    ]
    return cells.table("Squared error of hidden patches, each normalised", columns, rows)


def _explained(means: Mapping[str, Json]) -> str:
    """What the pictures show, and what they cannot."""
    told = (
        "Only the middle row entered the network; grey is hidden. Below, its hidden patches are "
        "what was rebuilt. It learns patterns, not brightness: <b>mean and contrast of each hidden "
        "patch are the original's own</b>, so coarse light and dark are no achievement. "
        "“Flat patches” is the error of rebuilding no pattern at all."
    )
    if any(own["frame_difference"] for own in means.values()):
        told += (
            " Every second frame was learned as its difference to the one before, and is put "
            "together again here."
        )
    if any(len(own["patch"]) < 3 for own in means.values()):
        told += " Behind the end of a short recording a spectrogram has one value everywhere."
    return told


def _clip(clip: Json, sides: Mapping[str, Side]) -> str:
    parts = "".join(_side(name, clip, side) for name, side in sorted(sides.items(), reverse=True))
    return (
        f'<figure class="look"><h5>{words.named(clip["id"], 120)}</h5>'
        f'<div class="sides">{parts}</div></figure>'
        if parts
        else ""
    )


def _side(name: str, clip: Json, side: Side) -> str:
    """Three rows of one modality, in the same colours."""
    shots = "".join(
        f'<div class="shot"><span>{row}</span>{picture}</div>'
        for row, picture in _pictures(name, side)
    )
    own = clip[name]
    told = f"error {terms.digits(own['error'])}, flat patches {terms.digits(own['flat'])}"
    return f"<div><p>{words.named(name, 40)}: {told}</p>{shots}</div>"


def _pictures(name: str, side: Side) -> Iterator[tuple[str, str]]:
    rows = {"original": side.original, "visible": side.visible, "rebuilt": side.rebuilt}
    scale = stills.scale_of(side.original)
    for row, values in rows.items():
        moves = values.ndim == 4
        pixels = stills.film(values) if moves else stills.spectrogram(values, scale)
        yield row, stills.image(pixels, f"{name}, {row}: {'frames' if moves else 'spectrogram'}")


# -- retrieval -------------------------------------------------------------------------------------


def _retrieval(asked: Json) -> str:
    found = asked["retrieval"]
    if found is None:
        return (
            "<p>Nothing to look for: fewer than two clips have both modalities, or the network "
            "does not set one against the other.</p>"
        )
    ways = [key for key in found["levels"][0] if key != "level"]
    drawn = "".join(_chart(found, ways, depth) for depth in (1, 5))
    caption = (
        f"<b>Recall</b> by level: how often a clip's other half is the nearest, or among the five "
        f"nearest, of {terms.count(found['clips'])}. Whiskers: 95 %, clips that ask drawn again, "
        "those that are asked among kept. Dashed: guessing."
    )
    return plots.figure(drawn, caption) + _table(found, ways)


def _chart(found: Json, ways: Sequence[str], depth: int) -> str:
    """Recall of both directions, level by level."""
    name, levels = f"recall_{depth}", found["levels"]
    numbers = [one["level"] for one in levels]
    guess = found["chance"][name]
    top = max([guess, *(one[way][name]["high"] for one in levels for way in ways)])
    frame = plots.Frame(
        x=(min(numbers) - 0.5, max(numbers) + 0.5), y=(0.0, min(1.0, 1.1 * top)), whole=True
    )
    shapes = [frame.axes("level", f"recall at {depth}")]
    shapes.append(f'<path class="ideal" d="{frame.path([(x, guess) for x in frame.x])}"/>')
    for turn, (way, look) in enumerate(zip(ways, _WAYS, strict=False)):
        aside = 0.08 * (2 * turn - 1)
        points = [(n + aside, one[way][name]) for n, one in zip(numbers, levels, strict=True)]
        ends = "".join(frame.path([(x, i["low"]), (x, i["high"])]) for x, i in points)
        line = frame.path([(x, i["value"]) for x, i in points])
        dots = "".join(
            f'<circle class="ring {look}" cx="{frame.across(x):.1f}" '
            f'cy="{frame.down(i["value"]):.1f}" r="3"/>'
            for x, i in points
        )
        shapes.append(
            f'<path class="line thinner {look}" d="{line}"/><path class="line {look}" d="{ends}"/>'
            + dots
        )
    legend = "".join(
        f'<li><i class="dash {look}"></i>{words.safe(_way(way), 60)}</li>'
        for way, look in zip(ways, _WAYS, strict=False)
    )
    title = f"Recall at {depth}"
    return (
        f'<div class="chart"><h5>{title}</h5>{frame.svg(f"{title} by level", "".join(shapes))}'
        f'<ul class="legend">{legend}</ul></div>'
    )


def _way(name: str) -> str:
    return name.replace("_to_", " → ")


def _table(found: Json, ways: Sequence[str]) -> str:
    columns: list[Column] = [("Level", "")]
    names = {"recall_1": "Recall at 1", "recall_5": "Recall at 5", "median_rank": "Median rank ↓"}
    for told in ("Direction", *names.values()):
        columns += [(told, "" if told == "Direction" else "n")]
        columns += [("95 %", "n")] * (told != "Direction")
    rows = [
        [
            str(one["level"]),
            words.safe(_way(way), 60),
            *(cell for key in names for cell in _cells(one[way][key], key)),
        ]
        for one in found["levels"]
        for way in ways
    ]
    guess = found["chance"]
    without = [cell for key in names for cell in (_number(guess[key], key), "")]
    rows.append(["guessing", "", *without])
    return cells.table("Retrieval by level and direction", columns, rows)


def _cells(found: Json, key: str) -> tuple[str, str]:
    ends = f"{_number(found['low'], key)} to {_number(found['high'], key)}"
    return _number(found["value"], key), ends


def _number(value: float, key: str) -> str:
    return terms.digits(value, 1 if key == "median_rank" else 3)
