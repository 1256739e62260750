"""Tables of a report: a caption, a head, rows; numbers to the right. Cells come escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mien.report import words

Column = tuple[str, str]
"""A column's name, escaped, and what it holds: ``n`` numbers, ``g`` drawings, else texts."""


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, look: str = ""
) -> str:
    """A table that scrolls by itself where it is wider than the page.

    Args:
        caption: what it shows; escaped here.
        columns: their names and kinds.
        rows: cells in the order of the columns; the first names its row.
        look: class of the style sheet.
    """
    name = words.safe(caption, 200)
    head = "".join(
        f'<th scope="col"{_class(kind)}>{text}</th>' if text else f"<td{_class(kind)}></td>"
        for text, kind in columns
    )
    body = "".join(_row(row, [kind for _, kind in columns]) for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{name}">'
        f"<table{_class(look)}><caption>{name}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(cells: Sequence[str], kinds: Sequence[str]) -> str:
    first, *rest = cells
    others = "".join(
        f"<td{_class(kind)}>{cell}</td>" for cell, kind in zip(rest, kinds[1:], strict=True)
    )
    return f'<tr><th scope="row">{first}</th>{others}</tr>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def folded(summary: str, inside: str) -> str:
    """Something to unfold; nothing where there is nothing inside."""
    return f"<details><summary>{summary}</summary>{inside}</details>" if inside else ""
