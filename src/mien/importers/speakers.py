"""Who is heard or seen, as a pattern of paths says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mien.data.findings import Report
from mien.errors import ConfigError


@dataclass(slots=True)
class Speakers:
    """Speakers by a pattern of relative paths; without one nobody is known."""

    pattern: re.Pattern[str] | None
    unknown: list[str] = field(default_factory=list)
    _known: int = 0

    @classmethod
    def of(cls, pattern: str | None) -> Speakers:
        """Take a pattern with one group, or one that is called ``speaker``.

        Raises:
            ConfigError: it is none.
        """
        if pattern is None:
            return cls(None)
        fix = r"a pattern of paths with one group, as in --speaker 'Actor_(\d+)'"
        try:
            made = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(f"{pattern!r} is not a pattern: {error}", fix=fix) from error
        if "speaker" not in made.groupindex and made.groups != 1:
            raise ConfigError(f"{pattern!r} has {made.groups} groups", fix=fix)
        return cls(made)

    def name(self, path: str) -> str | None:
        """Who a path names."""
        if self.pattern is None:
            return None
        match = self.pattern.search(path)
        group = "speaker" if "speaker" in self.pattern.groupindex else 1
        found = match[group] if match is not None else None
        if not found:
            self.unknown.append(path)
            return None
        self._known += 1
        return str(found)

    def note(self, report: Report) -> None:
        """Say whose paths name nobody.

        Raises:
            ConfigError: no path names anybody.
        """
        if self.unknown and not self._known:
            assert self.pattern is not None
            raise ConfigError(
                f"{self.pattern.pattern!r} is found in no path, such as {self.unknown[0]!r}",
                fix="paths are those below the source, with / between folders",
            )
        if self.unknown:
            report.warn("speaker", "paths that name no speaker", *self.unknown)
