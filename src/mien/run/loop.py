"""The one training loop. It knows a model, an objective and batches, and no system by name.

Randomness is a function of (seed, stage, step, micro-batch, process): generators are seeded anew
before every forward pass. A resumed run therefore needs no generator state to continue bit by bit.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mien.config import TrainConfig
from mien.data.batch import RowDataset
from mien.data.order import BatchOrder
from mien.errors import ConfigError, Interrupted, MienError
from mien.parts.mixing import Mixture
from mien.parts.model import Model
from mien.run import checkpoint, folder, gather, optimizer, processes
from mien.run.average import Average, moving
from mien.run.batches import Collate, Plan, Seen, seed_for
from mien.run.log import Log
from mien.run.perturb import drop_modalities, mix
from mien.run.progress import Bar
from mien.types import Batch, Objective, Output, Sample, Specs

Score = Callable[[Model], tuple[float, dict[str, float]]]


@dataclass(slots=True)
class Course:
    """Where a training is, apart from its tensors. Kept in every state."""

    step: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    seen: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    stopped: bool = False


class Loop:
    """One stage's training, from its start or from its last state to its end.

    Args:
        model: what is trained, already on its way to this process's device.
        objective: what is minimised.
        dataset: the training part.
        specs: the tasks, for batching and mixing.
        config: the knobs.
        seed: start of all randomness.
        place: where states and the best weights are kept.
        score: gives a number to maximise and named values for the log; None keeps the last epoch.
        label: the stage's name in logs.
        labels_for_balance: the class of each sample, to draw classes alike often.
        quiet: no progress bar.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        dataset: RowDataset,
        *,
        specs: Specs,
        config: TrainConfig,
        seed: int,
        place: Path,
        score: Score | None,
        label: str,
        labels_for_balance: Sequence[int] | None = None,
        quiet: bool = False,
    ) -> None:
        self.config, self.seed, self.folder, self.label = config, seed, place, label
        self.objective, self.dataset, self.specs, self.score = objective, dataset, specs, score
        self.quiet = quiet
        self.accelerator = processes.accelerator(config.precision)
        size = len(dataset)
        self.collate = Collate(dataset, specs)
        self.order = BatchOrder(
            size,
            config.batch_size,
            seed_for(seed, label, "order"),
            shuffle=True,
            drop_last=True,
            balanced_labels=labels_for_balance,
            lengths=[dataset.length(i) for i in range(size)] if config.alike else None,
        )
        self._check_batches(size)
        self.steps_per_epoch = len(self.order.epoch(0))
        self.steps = self.steps_per_epoch * config.epochs
        self.warmup = round(config.warmup_epochs * self.steps_per_epoch)
        self.model = model
        self.optimizer = optimizer.build(model, config)
        self.trained, self.step_optimizer = self.accelerator.prepare(model, self.optimizer)
        self.average = Average(model, config.ema)
        self.course = Course()
        self._wanted_stop = threading.Event()

    # -- one step ------------------------------------------------------------------------------

    def _check_batches(self, size: int) -> None:
        parts = self.accelerator.num_processes * self.config.accumulate
        batch = min(self.config.batch_size, size)
        if size < 1:
            raise ConfigError("the training part is empty", fix="mien data check MANIFEST")
        if batch % parts:
            fewer = batch // parts * parts  # never more: there may be no more clips
            raise ConfigError(
                f"a batch of {batch} does not divide over {self.accelerator.num_processes} "
                f"processes and {self.config.accumulate} micro-batches",
                fix=f"train.batch_size={fewer}" if fewer else "train.accumulate=1",
            )

    def _batches(self) -> Iterator[list[Batch]]:
        """This process's micro-batches of every remaining step."""
        here, world = self.accelerator.process_index, self.accelerator.num_processes
        plan = Plan(self.order, self.config, self.course.step, here, world)
        loader: DataLoader[Sample] = DataLoader(
            Seen(self.dataset, self.model.front_end),
            batch_sampler=plan,
            collate_fn=self.collate,
            num_workers=self.config.workers,
            persistent_workers=False,
            pin_memory=self.accelerator.device.type == "cuda",
        )
        step: list[Batch] = []
        for batch in loader:
            step.append(batch.to(self.accelerator.device))
            if len(step) == self.config.accumulate:
                yield step
                step = []

    def _prepared(self, batch: Batch, micro: int) -> tuple[Batch, Mixture | None]:
        """Modality dropout, and the mixture of this micro-batch with its targets."""
        self._seed("prepare", micro)
        config = self.config
        if config.modality_dropout:
            batch = drop_modalities(batch, config.modality_dropout)
        if not (config.mixup or config.cutmix):
            return batch, None
        return mix(batch, self.specs, config)

    def _seed(self, *what: object) -> None:
        torch.manual_seed(
            seed_for(self.seed, self.label, self.course.step, self.accelerator.process_index, *what)
        )

    def _forward(self, batch: Batch, mixture: Mixture | None, micro: int) -> Output:
        self._seed("forward", micro)
        output: Output = self.trained(batch, mixture)
        return output.map(lambda t: t.float() if t.is_floating_point() else t)

    def _backward(self, batches: list[Batch]) -> gather.Terms:
        """Gradients of the whole step's loss, and its terms."""
        prepared = [self._prepared(batch, i) for i, batch in enumerate(batches)]
        targets = [batch for batch, _ in prepared]
        if not self.objective.additive:
            return gather.backward_whole(
                lambda i: self._forward(*prepared[i], i),
                targets,
                self.objective,
                model=self.trained,
                accelerator=self.accelerator,
                buffers=lambda: gather.still_buffers(self.model),
            )
        share = gather.Share(self.objective, targets, self.accelerator)
        sums: gather.Terms = {}
        for i, (batch, mixture) in enumerate(prepared):
            last = i + 1 == len(prepared)
            with nullcontext() if last else self.accelerator.no_sync(self.trained):
                loss, named = share.loss(self._forward(batch, mixture, i), batch)
                self.accelerator.backward(loss)
            for name, value in named.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
        if self.accelerator.num_processes > 1:
            sums = {name: self.accelerator.reduce(value, "sum") for name, value in sums.items()}
        return sums

    def _step(self, batches: list[Batch]) -> gather.Terms:
        config = self.config
        rate = optimizer.rate(
            self.course.step + 1, steps=self.steps, warmup=self.warmup, config=config
        )
        optimizer.set_rate(self.optimizer, rate)
        terms = self._backward(batches)
        if config.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.trained.parameters(), config.clip_norm)
        self.step_optimizer.step()
        self.step_optimizer.zero_grad()
        self.average.update(self.course.step)
        return terms

    # -- states --------------------------------------------------------------------------------

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        tensors = {f"model/{n}": t for n, t in moving(self.model).items()}
        tensors |= {f"optimizer/{n}": t for n, t in optimizer.state(self.optimizer).items()}
        tensors |= {f"average/{n}": t for n, t in self.average.kept.items()}
        facts = {name: getattr(self.course, name) for name in self.course.__slots__}
        facts["best"] = None if math.isinf(self.course.best) else self.course.best
        if self.accelerator.scaler is not None:
            facts["scaler"] = self.accelerator.scaler.state_dict()
        checkpoint.save_state(self.folder, self.course.step, tensors, facts)

    def _resume(self) -> bool:
        kept = checkpoint.load_state(self.folder)
        if kept is None:
            return False
        _, tensors, facts = kept
        scaler = facts.pop("scaler", None)
        facts["best"] = -math.inf if facts["best"] is None else facts["best"]
        self.course = Course(**facts)
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "average": {}}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        folder.fill(moving(self.model), parts["model"], where=str(self.folder))
        optimizer.restore(self.optimizer, parts["optimizer"])
        folder.fill(self.average.kept, parts["average"], where=str(self.folder))
        if scaler is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(scaler)
        return True

    # -- the whole way -------------------------------------------------------------------------

    def run(self, log: Log) -> Course:
        """Train to the end (or to the early stop) and leave the chosen weights in the model."""
        resumed = self._resume()
        log.rewind(self.label, self.course.step)
        config, course = self.config, self.course
        saved = started = time.monotonic()
        first = course.step
        with (
            self._listening(),
            Bar(self.label, self.steps, done=course.step, quiet=self._silent) as bar,
        ):
            if resumed and not course.stopped:
                bar.say(f"{self.label}: going on from step {course.step:,} of {self.steps:,}")
            self.trained.train()
            batches = self._batches() if not course.stopped else iter(())
            for batch in batches:
                terms = self._step(batch)
                course.step += 1
                self._note(terms, batch)
                speed = config.batch_size * (course.step - first) / (time.monotonic() - started)
                bar.advance(self._now(), rate=speed)
                over = course.step % self.steps_per_epoch == 0
                if over:
                    self._finish_epoch(log, bar, speed)
                if self._stop_wanted():
                    self._save()
                    raise Interrupted(
                        f"stopped at step {course.step:,} of {self.steps:,}; nothing is lost",
                        where=str(self.folder.parent),
                        fix="the same command goes on from here",
                    )
                if over or time.monotonic() - saved >= config.save_seconds:
                    self._save()
                    saved = time.monotonic()
                if course.stopped:
                    break
        self._choose()
        return course

    @property
    def _silent(self) -> bool:
        return self.quiet or not self.accelerator.is_main_process

    def _note(self, terms: gather.Terms, batches: list[Batch]) -> None:
        if not math.isfinite(float(terms["loss"])):
            raise MienError(
                f"the loss became {float(terms['loss'])} at step {self.course.step}",
                where=", ".join(batches[0].ids[:4]),
                fix="a smaller train.lr, train.clip_norm=1, or train.precision=fp32",
            )
        self.course.seen += 1
        for name, value in terms.items():
            self.course.sums[name] = self.course.sums.get(name, 0.0) + float(value)

    def _now(self) -> str:
        epoch = self.course.step / self.steps_per_epoch
        loss = self.course.sums.get("loss", 0.0) / max(1.0, self.course.seen)
        return f"epoch {epoch:.1f} loss {loss:.4f}"

    def _finish_epoch(self, log: Log, bar: Bar, speed: float) -> None:
        """Score the held-out part, keep the best weights, decide on an early stop, write a line."""
        course, config = self.course, self.config
        epoch = course.step // self.steps_per_epoch
        means = {name: value / course.seen for name, value in course.sums.items()}
        line: dict[str, Any] = {"stage": self.label, "epoch": epoch, "step": course.step, **means}
        line["lr"] = optimizer.rate(
            course.step, steps=self.steps, warmup=self.warmup, config=config
        )
        value = None
        if self.score is not None:
            with self.average.applied():  # what was scored is what is kept
                torch.manual_seed(seed_for(self.seed, self.label, "score"))
                value, named = self.score(self.model)
                if value > course.best:
                    course.best, course.best_epoch = value, epoch
                    self._keep_best()
            self.trained.train()
            line |= {f"held_out/{name}": number for name, number in named.items()}
            patience = config.patience
            course.stopped = patience is not None and epoch - course.best_epoch >= patience
        course.stopped = course.stopped or epoch >= config.epochs
        course.sums, course.seen = {}, 0.0
        if self.accelerator.is_main_process:
            log.write(line | {"clips_per_second": round(speed, 1)})
        width = len(str(config.epochs))
        said = f"{self.label}: epoch {epoch:>{width}}/{config.epochs}, loss {means['loss']:.4f}"
        if value is not None:
            said += f", held out {value:.4f} (best {course.best:.4f}, epoch {course.best_epoch})"
        bar.say(said)

    def _keep_best(self) -> None:
        if self.accelerator.is_main_process:
            checkpoint.write_tensors(self.folder / "best.safetensors", moving(self.model))

    def _choose(self) -> None:
        """Leave the selected weights in the model: the best epoch's, or the last averaged ones."""
        self.accelerator.wait_for_everyone()
        if self.score is not None and self.course.best_epoch >= 0:
            best = self.folder / "best.safetensors"
            folder.fill(moving(self.model), checkpoint.read_tensors(best), where=str(best))
        else:
            self.average.put()
        # Take Accelerate's wrapping of the forward pass off again.
        self.accelerator.unwrap_model(self.trained, keep_fp32_wrapper=False)
        self.model.eval()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Within: Ctrl-C and a polite kill end the training after the step, with a state kept."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._wanted_stop.set()

        before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop_wanted(self) -> bool:
        if self.accelerator.num_processes == 1:
            return self._wanted_stop.is_set()
        asked = torch.tensor(float(self._wanted_stop.is_set()), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, "sum") > 0)
