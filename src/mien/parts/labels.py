"""Labels as texts: sets of them as data, and the sentences that an encoder is given.

A set is named in ``labels.toml`` or lies in a YAML or TOML file of one's own::

    labels: {joy: [happy, delighted], anger: [angry]}     # or a plain list
    values: [1, -1]                                       # of a score, one a label
    templates: ["this person is {label}"]                 # in the place of the run's
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from mien.config import Settings
from mien.errors import ConfigError, did_you_mean

__all__ = ["LabelSet", "named", "of", "sentences", "templates"]

_FILE = Path(__file__).with_name("labels.toml")
_ENDINGS = (".yaml", ".yml", ".toml")
_LONGEST, _MOST = 300, 1000  # characters of a text; labels of a set
SLOT = "{label}"


class LabelSet(Settings):
    """Labels, and what stands for each in a sentence."""

    labels: dict[str, tuple[str, ...]] = Field(min_length=1, max_length=_MOST)
    values: tuple[float, ...] = Field((), description="where each label of a score lies")
    templates: tuple[str, ...] = Field((), description="sentences; () takes the run's own")
    task: str | None = Field(None, description="whose labels they are, where there are several")

    @model_validator(mode="before")
    @classmethod
    def _lists_are_their_own_texts(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        labels = values.get("labels")
        if isinstance(labels, Sequence) and not isinstance(labels, str):
            if len(set(map(str, labels))) < len(labels):
                raise ValueError("a label stands in the list twice")
            labels = {str(label): (plain(str(label)),) for label in labels}
        elif isinstance(labels, Mapping):
            labels = {
                str(label): (texts,) if isinstance(texts, str) else texts
                for label, texts in labels.items()
            }
        return {**values, "labels": labels}

    @model_validator(mode="after")
    def _everything_says_something(self) -> Self:
        for label, texts in self.labels.items():
            if not texts or not all(text.strip() for text in texts):
                raise ValueError(f"nothing stands for the label {label!r}")
            if max(map(len, texts)) > _LONGEST:
                raise ValueError(f"the text of {label!r} is longer than {_LONGEST} characters")
        if self.values and len(self.values) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels have {len(self.values)} values")
        if len(set(self.values)) < len(self.values):
            raise ValueError("two labels have the same value")
        checked(self.templates)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The labels in their order."""
        return tuple(self.labels)

    def only(self, names: Sequence[str]) -> LabelSet:
        """The texts of these labels, in this order; each of them has to be there."""
        missing = [name for name in names if name not in self.labels]
        if missing:
            raise ConfigError(
                f"the label set has no {missing[0]!r}: {did_you_mean(missing[0], self.labels)}",
                fix="a set with a text for every label of the task",
            )
        return self.model_copy(update={"labels": {name: self.labels[name] for name in names}})

    def ascending(self) -> LabelSet:
        """The same labels in the order of their values."""
        order = sorted(range(len(self.values)), key=lambda i: self.values[i])
        names = self.names
        return self.model_copy(
            update={
                "labels": {names[i]: self.labels[names[i]] for i in order},
                "values": tuple(self.values[i] for i in order),
            }
        )


def plain(label: str) -> str:
    """A class name as a word: without underscores and capitals."""
    return label.replace("_", " ").strip().lower() or label


def of(names: Sequence[str]) -> LabelSet:
    """Labels that stand for themselves."""
    return LabelSet.model_validate({"labels": list(names)})


def checked(given: Sequence[str]) -> tuple[str, ...]:
    """Templates, each with one place for a label."""
    for template in given:
        if template.count(SLOT) != 1 or len(template) > _LONGEST:
            raise ValueError(f"a template has {SLOT} in it once, unlike {template[:60]!r}")
    return tuple(given)


def templates(given: str | Sequence[str]) -> tuple[str, ...]:
    """The templates of that name, or these."""
    if not isinstance(given, str):
        return tuple(given)
    known: dict[str, list[str]] = _table()["templates"]
    if given not in known:
        raise ConfigError(f"there are no templates {given!r}: {did_you_mean(given, known)}")
    return tuple(known[given])


def named(given: str | Path | Mapping[str, Any]) -> LabelSet:
    """A set by its name, from a YAML or TOML file, or from plain values."""
    if isinstance(given, Mapping):
        return _validated(given, where="label set")
    known: dict[str, Any] = _table()["sets"]
    if isinstance(given, str) and given in known:
        return _validated(known[given], where=given)
    path = Path(given)
    if path.suffix.lower() in _ENDINGS:
        return _validated(_read(path), where=str(path))
    raise ConfigError(
        f"there is no label set {str(given)!r}: {did_you_mean(str(given), known)}",
        fix="one of these, or a file SET.yaml",
    )


def sentences(
    labels: LabelSet, given: str | Sequence[str] = "default"
) -> tuple[tuple[str, ...], ...]:
    """What an encoder reads for each label: every text of it in every template."""
    forms = labels.templates or templates(given)
    return tuple(
        tuple(form.replace(SLOT, text) for form in forms for text in texts)
        for texts in labels.labels.values()
    )


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix.lower() == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read this label set: {error}", where=str(path)) from error


def _validated(values: Any, where: str) -> LabelSet:
    if not isinstance(values, Mapping):
        raise ConfigError('a label set is a mapping with "labels"', where=where)
    try:
        return LabelSet.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{key}: {said}" if key else said, where=where) from error
