"""What M2FNet makes of the sound and of the pictures of an utterance: two networks for one loss.

::

    audio    wave --> mel picture --> ResNet-18 --> Linear --> (300)
    visual   15 frames ------------------> extractor --> max over frames --> (300) --+
             faces, weighted by area --> extractor --> max over frames --> (300) ----+--> (600)

Each vector is taught by triplets of classes. A Linear reads it, and teaches it nothing: by what it
answers an extractor can be chosen, scored and asked.

Shapes: B utterances, L frames, N faces, Z width of a projection, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mien.parts.model import given_of, known_positions
from mien.parts.pictures import BOXES, WeightedFaces, numbered
from mien.parts.resnet import Extractor, highest
from mien.types import Output, Specs


class _Answering(nn.Module):
    """Linear maps that read a vector and send nothing back to it."""

    def __init__(self, dim: int, specs: Specs) -> None:
        super().__init__()
        self.tasks = nn.ModuleDict({name: nn.Linear(dim, s.width) for name, s in specs.items()})

    def forward(self, vector: Tensor) -> dict[str, Tensor]:
        still = vector.detach()
        return {name: head(still) for name, head in self.tasks.items()}


class AudioNetwork(nn.Module):
    """A mel picture to a vector, and what a Linear reads in it.

    Args:
        extractor: pictures to vectors.
        specs: the tasks.
    """

    def __init__(self, extractor: Extractor, specs: Specs) -> None:
        super().__init__()
        self.extractor, self.heads = extractor, _Answering(extractor.dim, specs)

    def forward(
        self,
        audio: Tensor,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Pictures (B, 3, T, F) to answers (B, C) and vectors (B, Z)."""
        seen = known_positions("audio", {"audio": audio}, mask, present)
        there = torch.ones(len(audio), dtype=torch.bool, device=audio.device)
        there = there if seen is None else seen.any(1)
        vector = self.extractor(audio, there)
        return Output(
            logits=self.heads(vector), features={"audio": vector}, aux={"audio_present": there}
        )


class VisualNetwork(nn.Module):
    """The scene and the faces in it, each through an extractor of its own, side by side.

    Args:
        scene: extractor of whole frames.
        face: extractor of faces.
        weighted: how the faces of a frame become one.
        specs: the tasks.
    """

    def __init__(
        self, scene: Extractor, face: Extractor, weighted: WeightedFaces, specs: Specs
    ) -> None:
        super().__init__()
        self.scene, self.face, self.weighted = scene, face, weighted
        self.heads = _Answering(scene.dim + face.dim, specs)

    def forward(
        self,
        scene: Tensor | None = None,
        faces: Tensor | None = None,
        boxes: Tensor | None = None,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Whole frames, faces and their boxes to answers (B, C) and vectors (B, 2 Z).

        Args:
            scene: pixels (B, L, 3, S, S) of whole frames.
            faces: pixels (B, N, 3, S, S) of faces.
            boxes: (B, N, 2): number of a face's frame, share of the frame's pixels; without them
                faces count alike, each as a frame.
            mask: (B, L) or (B, N) by name, True where something is there.
            present: a column for each given input, in sorted order.
        """
        given = given_of(("scene", "faces", BOXES), scene=scene, faces=faces, boxes=boxes)
        one = next(iter(given.values()))
        parts, there = {}, {}
        for name, extractor in (("scene", self.scene), ("faces", self.face)):
            if name not in given:
                parts[name] = torch.zeros(len(one), extractor.dim, device=one.device)
                there[name] = torch.zeros(len(one), dtype=torch.bool, device=one.device)
                continue
            pixels = given[name]
            seen = known_positions(name, given, mask, present)
            known = torch.ones(pixels.shape[:2], dtype=torch.bool, device=pixels.device)
            known = known if seen is None else seen.expand(pixels.shape[:2])
            vectors = extractor(pixels.flatten(0, 1), known.flatten()).view(*known.shape, -1)
            if name == "faces":
                vectors, known = self._by_frame(vectors, boxes, known)
            parts[name], there[name] = highest(vectors, known), known.any(1)
        whole = torch.cat([parts["scene"], parts["faces"]], 1)
        return Output(
            logits=self.heads(whole),
            features={**parts, "visual": whole},
            aux={f"{name}_present": here for name, here in there.items()},
        )

    def _by_frame(
        self, vectors: Tensor, boxes: Tensor | None, there: Tensor
    ) -> tuple[Tensor, Tensor]:
        made: tuple[Tensor, Tensor] = self.weighted(
            vectors, numbered(there) if boxes is None else boxes, there
        )
        return made
