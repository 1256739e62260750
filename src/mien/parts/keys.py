"""One table between our names of weights and those of transformers and peft.

A run keeps its tensors under our names, which say what a weight is and do not move when a library
renames its modules: ``network.vision.clip.blocks.3.attention.query.lora_a``. The segment ``clip``
or ``clap`` says whose names follow; a name that no rule fits is the same on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Segments = tuple[str, ...]
Rule = tuple[str, str]
"""What something is called elsewhere and by us, both dotted."""

_LORA: Sequence[Rule] = (
    ("lora_A.default.weight", "lora_a"),
    ("lora_B.default.weight", "lora_b"),
)

_CLIP: Sequence[Rule] = (
    ("embeddings.class_embedding", "class_token"),
    ("embeddings.patch_embedding", "patches"),
    ("embeddings.position_embedding", "positions"),
    ("pre_layrnorm", "norm_in"),  # transformers spells it so
    ("post_layernorm", "norm_out"),
    ("encoder.layers", "blocks"),
    ("self_attn.q_proj", "attention.query"),
    ("self_attn.k_proj", "attention.key"),
    ("self_attn.v_proj", "attention.value"),
    ("self_attn.out_proj", "attention.output"),
    ("layer_norm1", "norm1"),
    ("layer_norm2", "norm2"),
)

_CLAP: Sequence[Rule] = (
    ("audio_encoder.batch_norm", "norm_in"),
    ("audio_encoder.norm", "norm_out"),
    ("audio_encoder.patch_embed.mel_conv2d", "patches.long"),
    ("audio_encoder.patch_embed.fusion_model", "patches.fusion"),
    ("audio_encoder.patch_embed", "patches"),
    ("audio_encoder.layers", "stages"),
    ("attention.self.query", "attention.query"),
    ("attention.self.key", "attention.key"),
    ("attention.self.value", "attention.value"),
    ("attention.self.relative_position_bias_table", "attention.positions"),
    ("attention.self.relative_position_index", "attention.position_index"),
    ("attention.output.dense", "attention.output"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("downsample", "merge"),
)

_TABLES: dict[str, Sequence[Rule]] = {"clip": _CLIP, "clap": _CLAP}


def ours(name: str) -> str:
    """Our name of a weight that the installed libraries call ``name``."""
    return renamed(name, _LORA, _TABLES)


def theirs(name: str) -> str:
    """The installed libraries' name of a weight that we call ``name``."""
    return renamed(name, _LORA, _TABLES, back=True)


def renamed(
    name: str,
    rules: Sequence[Rule],
    tables: Mapping[str, Sequence[Rule]] | None = None,
    *,
    back: bool = False,
) -> str:
    """Replace segments from left to right, the longest fitting rule first.

    Args:
        name: dotted.
        rules: pairs of names; what no rule fits is called alike on both sides.
        tables: further rules that hold behind a segment of this name.
        back: from the second name of each pair to the first.
    """
    given, made = tuple(name.split(".")), list[str]()
    pairs = _pairs(rules, back)
    while given:
        old, new = next(
            ((old, new) for old, new in pairs if given[: len(old)] == old),
            (given[:1], given[:1]),
        )
        if tables and given[0] in tables:
            pairs = _pairs([*rules, *tables[given[0]]], back)
        made += new
        given = given[len(old) :]
    return ".".join(made)


def _pairs(rules: Sequence[Rule], back: bool) -> list[tuple[Segments, Segments]]:
    """(from, to) segments, longest first."""
    pairs = [(tuple(r[back].split(".")), tuple(r[not back].split("."))) for r in rules]
    return sorted(pairs, key=lambda pair: -len(pair[0]))
