"""How many processes train together, which one this is, and with what precision."""

from __future__ import annotations

import os
import warnings

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from mien.errors import ConfigError


def state() -> PartialState:
    """The processes that were launched together (`accelerate launch`, `torchrun`), or this one."""
    return PartialState(cpu=_on_cpu())


def accelerator(precision: str) -> Accelerator:
    """An Accelerator for this precision, or a refusal that says why."""
    state()
    AcceleratorState._reset_state()  # a second training in one process may use another precision
    if precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("fp16 needs a GPU", fix="train.precision=bf16")
    # A process may meet a batch in which a whole modality is absent.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # ... but most never do, and PyTorch would say so at length.
    warnings.filterwarnings("ignore", message=".*find_unused_parameters=True was specified")
    names = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
    return Accelerator(mixed_precision=names[precision], cpu=_on_cpu(), kwargs_handlers=[unused])


def _on_cpu() -> bool:
    """Several processes without a GPU talk through gloo, which Accelerate uses only if asked to."""
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return asked or (several and not torch.cuda.is_available())
