"""The shell of every page: closed in itself, nothing fetched, nothing run but what it knows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from mien.report import words

_TOKENS = "tokens.css"  # colours, letters and what all pages have


def document(
    heading: str,
    inside: str,
    *,
    style: str,
    script: str | None = None,
    numbers: object = None,
    media: bool = False,
) -> str:
    """A whole HTML document.

    Args:
        heading: its title; hostile until escaped here.
        inside: the body, escaped.
        style: a style sheet of this room, laid over the common one.
        script: a script of this room; None: the page has none, and may run none.
        numbers: what the script reads.
        media: whether a file beside the page is played.
    """
    css = _asset(_TOKENS) + _asset(style)
    code = None if script is None else _asset(script)
    policy = ["default-src 'none'", "img-src data:", f"style-src '{_hash(css)}'"]
    policy += ["media-src 'self' file:"] * media
    policy += [f"script-src '{_hash(code)}'"] if code is not None else []
    policy += ["base-uri 'none'", "form-action 'none'"]
    scripts = (
        f'\n<script type="application/json" id="numbers">{words.script(numbers)}</script>\n'
        f"<script>{code}</script>"
        if code is not None
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{words.safe(heading)} · mien</title>\n<style>{css}</style>\n</head>\n<body>\n"
        f"{inside}{scripts}\n</body>\n</html>\n"
    )


def notice(text: str) -> str:
    """What the page is for; the first sentence stands in bold."""
    first, mark, rest = text.partition(". ")
    rest = f" {words.safe(rest, 3000)}" if rest else ""
    return (
        f'<aside class="notice" aria-label="Intended use"><p><strong>{words.safe(first, 600)}'
        f"{mark.strip()}</strong>{rest}</p></aside>"
    )


def facts(listed: Sequence[tuple[str, str]]) -> str:
    """Names and what they stand for, both escaped, as a list."""
    items = "".join(f"<div><dt>{name}</dt><dd>{said}</dd></div>" for name, said in listed)
    return f'<dl class="facts">{items}</dl>'


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the content security policy knows an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
