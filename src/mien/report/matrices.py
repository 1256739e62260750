"""Counts of one thing against another: confusion as a table, values against values as shades."""

from __future__ import annotations

from collections.abc import Sequence

from mien.report import cells, plots, terms, words
from mien.report.folders import Json

_SHADES = 9
_LARGE = 12
"""With more classes cells hold one number each."""
BESIDE = 8
"""Up to so many classes, something else fits beside a matrix."""


def confusion(body: Json, most: int, *, counts: bool) -> str:
    """What was said of each class, as shares of its clips, and as counts.

    Args:
        body: a task's numbers.
        most: more classes are not drawn.
        counts: whether a large matrix gets its counts as a second table.
    """
    labels, rows = body["confusion"]["labels"], body["confusion"]["rows_are_targets"]
    if len(labels) > most:
        return f"<p>{len(labels):,} classes are too many to draw; the JSON file has the counts.</p>"
    if len(labels) <= _LARGE:
        return _matrix(
            "Confusion: percent of each class's answers, and how many", labels, rows, "both"
        )
    shares = _matrix("Confusion: percent of each class's answers", labels, rows, "share")
    if not counts:
        return shares
    return shares + cells.folded("Counts", _matrix("Confusion: counts", labels, rows, "count"))


def _matrix(title: str, labels: Sequence[str], rows: Sequence[Sequence[int]], what: str) -> str:
    name = words.safe(title)
    large = len(labels) > _LARGE
    look = "matrix large" if large else "matrix"
    head = "".join(
        f'<th scope="col"><span>{words.named(label, 40)}</span></th>' for label in labels
    )
    body = "".join(
        f'<tr><th scope="row">{words.named(label, 40)}</th>{_cells(row, i, what)}'
        f'<td class="sum">{terms.count(sum(row))}</td></tr>'
        for i, (label, row) in enumerate(zip(labels, rows, strict=True))
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table class="{look}">'
        f"<caption>{name}. Rows: the label; columns: what was said.</caption>"
        f'<thead><tr><td></td>{head}<th scope="col" class="sum">all</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[int], own: int, what: str) -> str:
    whole = sum(row)
    found = []
    for i, count in enumerate(row):
        share = count / whole if whole else 0.0
        looks = [f"s{round(share * _SHADES)}"] * bool(count) + ["hit"] * (i == own)
        look = f' class="{" ".join(looks)}"' if looks else ""
        percent = f"{100 * share:.0f}"
        text = {"both": f"{percent}<small>{count}</small>", "share": percent, "count": f"{count}"}
        found.append(f"<td{look}>{text[what] if count else ''}</td>")
    return "".join(found)


# -- values ----------------------------------------------------------------------------------------


def joint(label: str, found: Json, agreement: Json) -> str:
    """Targets against predictions of one dimension, and the errors beside them."""
    name, edges = words.safe(label, 60), found["edges"]
    low, high = edges[0], edges[-1]
    frame = plots.Frame(x=(low, high), y=(low, high), wide=340, high=332)
    cell = frame.across(edges[1]) - frame.across(edges[0])
    most = max(max(row) for row in found["counts"])
    shapes: dict[int, list[str]] = {}
    for i, row in enumerate(found["counts"]):
        for j, count in enumerate(row):
            if count:
                shade = max(1, round(_SHADES * (count / most) ** 0.5))
                x, y = frame.across(edges[i]), frame.down(edges[j + 1])
                height = frame.down(edges[j]) - y
                shapes.setdefault(shade, []).append(
                    f"M{x:.1f} {y:.1f}h{cell:.1f}v{height:.1f}h-{cell:.1f}z"
                )
    drawn = "".join(f'<path class="f{s}" d="{"".join(d)}"/>' for s, d in sorted(shapes.items()))
    line = f'<path class="ideal" d="{frame.path([(low, low), (high, high)])}"/>'
    title = f"{label}: predictions against targets; CCC {terms.digits(agreement['ccc'])}"
    square = frame.svg(title, frame.axes("target", "prediction") + drawn + line)
    caption = (
        f"<b>{name}</b>: predictions against targets, darker where more answers lie; on the "
        f"line both agree. CCC {terms.digits(agreement['ccc'])}."
    )
    return plots.figure(square, caption) + _errors(label, found)


def _errors(label: str, found: Json) -> str:
    """How far predictions lie from targets."""
    edges, counts = found["off"], found["errors"]
    frame = plots.Frame(x=(edges[0], edges[-1]), y=(0.0, max(counts) * 1.05), high=220)
    bars = "".join(
        frame.bar(a, b, n) for a, b, n in zip(edges, edges[1:], counts, strict=False) if n
    )
    zero = f'<path class="ideal" d="M{frame.across(0):.1f} {frame.down(0):.1f}V{frame.top:g}"/>'
    shapes = frame.axes("prediction minus target", "answers")
    drawing = frame.svg(f"{label}: errors", f'{shapes}<path class="bars" d="{bars}"/>{zero}')
    rows = [
        [f"{terms.digits(a, 2)} to {terms.digits(b, 2)}", terms.count(n)]
        for a, b, n in zip(edges, edges[1:], counts, strict=False)
    ]
    numbers = cells.table(f"{label}: errors", [("From, to", ""), ("Answers", "n")], rows)
    return plots.figure(drawing, f"<b>{words.safe(label, 60)}</b>: errors.", numbers)
