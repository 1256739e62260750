"""Text towers whose weights are kept in four bits, so that a large one fits on one GPU.

Dettmers et al. (2023, https://arxiv.org/abs/2305.14314): NF4 with quantised constants, by the
library bitsandbytes, which needs a GPU. Low-rank updates and the head stay as they are.
"""

from __future__ import annotations

from importlib import util
from typing import Any

import torch
from torch import Tensor

from mien.errors import ConfigError, MissingExtra, TowerError
from mien.parts import hub
from mien.parts.hub import TowerSource
from mien.parts.text import TextTower


class FourBitText(TextTower):
    """A frozen text tower in four bits. A run names it by its commit on the hub, and stores none.

    Args:
        source: where the weights come from.
        pretrained: the module that has them.
    """

    kind = "text-nf4"
    whole = False

    @classmethod
    def filled(cls, blank: Any, state: dict[str, Tensor]) -> Any:
        """A module with these weights in four bits, on the GPU."""
        check_means()
        from transformers import BitsAndBytesConfig

        untyped: Any = BitsAndBytesConfig
        how = untyped(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        with hub.silent():
            return type(blank).from_pretrained(
                None,
                config=blank.config,
                state_dict=state,
                quantization_config=how,
                device_map={"": "cuda"},
            )


def check_means() -> None:
    """Refuse where there is nothing to do it with.

    Raises:
        MissingExtra: bitsandbytes is not installed.
        TowerError: there is no GPU.
    """
    if util.find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "quant")
    if not torch.cuda.is_available():
        raise TowerError(
            "weights in four bits need a GPU that torch can use",
            fix="model.quantised=false, or mien doctor",
        )


def check_source(source: TowerSource) -> None:
    """Refuse a tower that a run could not find again.

    Raises:
        ConfigError: it is no commit on the hub.
    """
    local = isinstance(source.name, str) and hub.local_folder(source.name) is not None
    if not isinstance(source.name, str) or local or source.revision is None:
        raise ConfigError(
            "weights in four bits are recorded by their commit on the hub, and not stored",
            where=str(source),
            fix="model.text=OWNER/NAME model.text_revision=COMMIT, or model.quantised=false",
        )
