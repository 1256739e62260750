"""One typed configuration: preset, YAML file and ``key=value`` words become the same object.

What a run used is written back whole as ``config.yaml``; reading it gives the run's settings again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from mien import registry
from mien.errors import ConfigError, did_you_mean


class Settings(BaseModel):
    """Base of every configuration block: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)


class DataConfig(Settings):
    """What to read of a manifest, and how to cut it."""

    columns: dict[str, str] = Field(
        {}, description="manifest field -> column of the file, where the file names it otherwise"
    )
    inputs: dict[str, str] = Field(
        {}, description="modality of the system -> feature of the manifest (default: same name)"
    )
    tasks: list[str] = Field([], description="tasks to train (default: all that have labels)")
    rename: dict[str, str] = Field({}, description="label as written -> label as meant")
    root: str | None = Field(None, description="folder that paths may not leave (default: its own)")
    folds: int | None = Field(None, ge=2, description="make this many grouped folds")
    held_out: float = Field(
        0.15, gt=0, lt=1, description="share of train that selection looks at, in whole groups"
    )
    random_split: bool = Field(
        False, description="cut by clip, not by speaker: optimistic, and marked in the card"
    )


class TrainConfig(Settings):
    """The loop's knobs. Batch size is global: adding processes changes no learning rate."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(32, ge=1, description="over all processes and accumulation steps")
    accumulate: int = Field(1, ge=1, description="micro-batches a step")
    lr: float = Field(1e-3, gt=0)
    min_lr: float = Field(0.0, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)
    schedule: Literal["cosine", "step"] = Field(
        "cosine", description="of the rate after the warm-up: down to min_lr, or times step_factor"
    )
    step_factor: float = Field(0.1, gt=0, le=1, description="factor of schedule=step")
    step_epochs: int = Field(50, ge=1, description="epochs between two steps of schedule=step")
    weight_decay: float = Field(0.05, ge=0)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    nesterov: bool = Field(True, description="look ahead with the momentum of sgd")
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on the rate per layer down")
    decay_all: bool = Field(
        False, description="decay class tokens and positions too (official CLAIP-Emo)"
    )
    clip_norm: float | None = Field(None, gt=0)
    ema: float | None = Field(None, gt=0, lt=1)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    mixup: float = Field(0.0, ge=0, description="Beta parameter; 0 is off")
    cutmix: float = Field(0.0, ge=0, description="Beta parameter; 0 is off")
    mix_probability: float = Field(1.0, ge=0, le=1)
    mix_switch: float = Field(0.5, ge=0, le=1, description="how often cutmix where both are on")
    mix_draws: Literal["shared", "official"] = Field(
        "shared", description="one lambda for all modalities, or the official code's own per one"
    )
    modality_dropout: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"
    regression: Literal["usual", "mae", "mse", "ccc"] = Field(
        "usual",
        description="loss of values: squared error of a clip's, absolute error of its sentiment, "
        "concordance of frames'",
    )
    patience: int | None = Field(None, ge=1, description="epochs without a better score")
    select: Literal["held_out", "last", "test"] = Field(
        "held_out", description="which part chooses the epoch; 'test' is said in the card"
    )
    metric: str | None = Field(None, description="score that selects (default: the task's own)")
    save_seconds: float = Field(60.0, ge=0, description="longest time between two states")
    workers: int = Field(0, ge=0, description="processes that read data")
    alike: bool = Field(
        False, description="batches of clips about as long: less to pad, faster with words"
    )


class StageConfig(Settings):
    """What one stage of a preset sets differently."""

    model: dict[str, Any] = {}
    train: dict[str, Any] = {}


class RunConfig(Settings):
    """Everything a run was told. ``model`` is the system's own ``Config``."""

    system: str
    preset: str
    stages: list[str] = []
    seed: int = Field(0, ge=0)
    model: Settings
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    stage: dict[str, StageConfig] = {}

    @model_validator(mode="after")
    def _overrides_belong_to_a_stage(self) -> Self:
        for name in self.stage:
            if name not in self.stages:
                raise ValueError(
                    f"stage.{name} is set but is not run: {did_you_mean(name, self.stages)}"
                )
        return self

    def for_stage(self, name: str) -> RunConfig:
        """The configuration one stage runs with: its overrides laid over the common values."""
        values = self.model_dump()
        values.pop("stage")
        special = self.stage.get(name, StageConfig())
        values["model"] |= special.model
        values["train"] |= special.train
        values["stages"] = [name]
        return _validated(type(self), values, where=f"stage.{name}")

    def to_yaml(self) -> str:
        """The whole configuration, readable and loadable."""
        values = self.model_dump(mode="json")
        text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        return text


def run_config_class(system: registry.System) -> type[RunConfig]:
    """The configuration class of one system (imports the system, so also torch)."""
    module = system.load()
    name = "".join(word.title() for word in system.name.split("-"))
    return create_model(f"{name}Run", __base__=RunConfig, model=(module.Config, module.Config()))


def schema(name: str) -> dict[str, Any]:
    """JSON schema of a system's whole configuration."""
    return run_config_class(registry.system(name)).model_json_schema()


def resolve(
    name: str,
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Lay a preset, a YAML file, ``values`` and ``key=value`` words over the defaults, in order."""
    system = registry.system(name)
    module = system.load()
    layers: dict[str, Any] = read_yaml(Path(file)) if file else {}
    if layers.get("system", system.name) != system.name:
        raise ConfigError(
            f"this file configures {layers['system']!r}, not {name!r}", where=str(file)
        )
    chosen, base = system.preset(preset or layers.get("preset"))
    base = {key: value for key, value in copy.deepcopy(base).items() if key != "about"}
    tree = merge({"stages": list(module.STAGES)}, base)
    shape = run_config_class(system)
    pairs = [_pair(word, shape, module.STAGES) for word in overrides]
    _yield(
        tree,
        [key for key, _ in pairs] + [f"{g}.{key}" for g in _GROUPS for key in layers.get(g) or ()],
    )
    tree = merge(tree, layers)
    tree = merge(tree, dict(values or {}))
    for key, value in pairs:
        _set(tree, _path(key, shape), value)
    tree |= {"system": system.name, "preset": chosen}
    # A preset may speak of stages that are not run this time; a user who does is mistaken.
    idle = set(base.get("stage", {})) - set(tree["stages"])
    tree["stage"] = {name: it for name, it in tree.get("stage", {}).items() if name not in idle}
    unknown = [stage for stage in tree["stages"] if stage not in module.STAGES]
    if unknown:
        raise ConfigError(
            f"{name!r} has no stage {unknown[0]!r}: {did_you_mean(unknown[0], module.STAGES)}"
        )
    config = _validated(shape, tree, where=f"{system.name}, preset {chosen}")
    for stage in config.stages:
        config.for_stage(stage)  # a stage's own values are checked before anything runs
    return config


def words(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """What ``key=value`` words say of a system, and nothing else."""
    system = registry.system(name)
    shape, stages = run_config_class(system), system.load().STAGES
    tree: dict[str, Any] = {}
    for word in overrides:
        key, value = _pair(word, shape, stages)
        _set(tree, _path(key, shape), value)
    return tree


_GROUPS = ("model", "train")  # what a stage may have otherwise


def _yield(tree: dict[str, Any], keys: Iterable[str]) -> None:
    """What a preset says of a stage alone gives way to what a user says of all of them."""
    for key in keys:
        group, _, rest = key.partition(".")
        for special in tree.get("stage", {}).values():
            if group in _GROUPS and isinstance(special.get(group), dict):
                special[group].pop(rest.partition(".")[0], None)


def load(path: Path) -> RunConfig:
    """Read a run's ``config.yaml``."""
    values = read_yaml(path)
    system = registry.system(str(values.get("system")))
    return _validated(run_config_class(system), values, where=str(path))


def data_part(path: Path) -> DataConfig:
    """The ``data`` part of a YAML file, for verbs that read data and train nothing."""
    return _validated(DataConfig, read_yaml(path).get("data", {}), where=str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file, or an error that names the line."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read this configuration: {error}", where=str(path)) from error
    if not isinstance(values, dict):
        raise ConfigError("a configuration is a mapping of keys to values", where=str(path))
    return values


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge: mappings are joined, anything else is replaced."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = copy.deepcopy(value)
    return base


def _kinds(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every setting by its whole key, with its type."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _kinds(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = kind
    return found


def _full_key(key: str, shape: type[RunConfig], stages: Mapping[str, Any]) -> str:
    """``lr`` becomes ``train.lr``; a key that fits nowhere is an error with a suggestion."""
    known = list(_kinds(shape))
    special = [
        f"stage.{name}.{k}" for name in stages for k in known if k.partition(".")[0] in _GROUPS
    ]
    for candidate in known + special:
        if key == candidate or key.startswith(candidate + "."):  # below it: an entry of a mapping
            return key
    ends = [candidate for candidate in known if candidate.endswith("." + key)]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ConfigError(f"{key!r} could be {' or '.join(ends)}", fix=f"{ends[0]}=...")
    names = known + [candidate.rsplit(".", 1)[-1] for candidate in known]
    raise ConfigError(f"there is no setting {key!r}: {did_you_mean(key, names)}")


def _pair(word: str, shape: type[RunConfig], stages: Mapping[str, Any]) -> tuple[str, Any]:
    """The whole key and the value of ``key=value``."""
    key, equals, text = word.partition("=")
    if not equals:
        raise ConfigError(f"{word!r} is not a setting", fix="write it as key=value, as in lr=1e-4")
    return _full_key(key.strip(), shape, stages), _value(text)


def _path(key: str, shape: type[RunConfig]) -> list[str]:
    """Where in the tree a key lies; names that a user gives to texts may have dots of their own."""
    for leaf, kind in _kinds(shape).items():
        if kind == dict[str, str] and key.startswith(f"{leaf}."):
            return [*leaf.split("."), key.removeprefix(f"{leaf}.")]
    return key.split(".")


def _set(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *above, last = path
    for name in above:
        if not isinstance(tree.get(name), dict):  # a tower's name makes way for values
            tree[name] = {}
        tree = tree[name]
    tree[last] = value


def _value(text: str) -> Any:
    """YAML's reading of a value, with 1e-4 a number as everyone expects."""
    try:
        return (
            float(text)
            if "e" in text.lower() and text.strip()[:1] in "0123456789.-+"
            else (yaml.safe_load(text))
        )
    except (ValueError, yaml.YAMLError):
        return text


_Shape = TypeVar("_Shape", bound=BaseModel)


def _validated(shape: type[_Shape], values: Mapping[str, Any], *, where: str) -> _Shape:
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            name = str(first["loc"][-1])
            siblings = [leaf.rsplit(".", 1)[-1] for leaf in _kinds(shape)]
            message = f"there is no setting {key!r}: {did_you_mean(name, siblings)}"
        else:
            message = f"{key or 'configuration'}: {first['msg'].removeprefix('Value error, ')}"
            if not isinstance(first["input"], dict):
                message += f" (got {first['input']!r})"
        raise ConfigError(message, where=where) from error
