"""Parts as a file lists them: what is in two of them, and parts that are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.data.findings import Report
from mien.data.rows import SPLITS, Split


def settle(parts: Mapping[Split, Sequence[str]], report: Report, what: str) -> dict[str, Split]:
    """Which part each name is in: the test part where that has it, else the held-out part.

    Args:
        parts: the names of each.
        report: what is added to, where parts have the same names.
        what: they are, in the plural.

    Returns:
        Name -> part, in the order in which the parts name them.
    """
    test, val = set(parts.get("test", ())), set(parts.get("val", ()))
    train = set(parts.get("train", ()))
    if test and val == test:
        report.warn(
            "val is test",
            f"the held-out part is the test part: what chooses the epoch is what is scored. These "
            f"{len(test):,} {what} are test alone here",
        )
    for one, name in ((val - test, "val"), (test, "test")):
        if both := sorted(train & one):
            report.warn(
                f"{name} in train",
                f"{len(both):,} {what} of {name} are in train too; here they are {name} alone",
                *both,
            )
    if val != test and (both := sorted(val & test)):
        report.warn(
            "test in val", f"{what} of test are in val too; here they are test alone", *both
        )
    found: dict[str, Split] = {}
    for split in SPLITS:
        for name in parts.get(split, ()):
            found[name] = split  # train, val, test: the last one stays
    return found
