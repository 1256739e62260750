"""``python -m mien.cli`` is ``mien``, for launchers that start modules."""

from __future__ import annotations

from mien.cli import main

main()
