"""The entrant: parameters, what it is handed, and what it tells about its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from anonymizers.conventional.blur import Blur
from anonymizers.edi_anon import perturbations
from anonymizers.edi_anon.rounds import Rounds
from anonymizers.edi_anon.saliency import BLOCK, Explainer, Method
from anonymizers.edi_anon.selection import Pool, Selection
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller
from benchmark.records import ParamValue
from benchmark.registry import source_hash
from benchmark.trace import Trace

Perturb = Annotated[
    Literal["blur", "pixelate", "dp-pix", "dp-blur", "noise", "mask"],
    Field(description="what replaces selected values"),
]
Percentile = Annotated[
    float | None,
    Field(
        gt=0, lt=100, description="percentile of the saliency from which values are perturbed; published: 90, mask 99"
    ),
]
Target = Annotated[float, Field(gt=0, le=1, description="stop when the share of recognised images is below this")]
Limit = Annotated[int, Field(ge=1, le=10_000, description="rounds at most")]
Preset = Annotated[Literal["paper"], Field(description="where strengths and q come from that are not given")]
Mode = Annotated[
    Literal["standard", "reference"], Field(description="reference: the published arithmetic, stalls included")
]
STRENGTHS = ("kernel", "size", "variant", "b", "m", "eps", "sigma", "colour")
LAYOUTS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class EdiAnon:
    """EDI-Anon: perturbs the pixels that explain the identification, round by round, until the recogniser fails.

    One round on an image that is still recognised: the gradient of the cross-entropy towards the runner-up says which
    values support the identification; those from the percentile ``q`` upwards take the value they have in the perturbed
    image, ``x = (1 - M) x + M P(x)``; the result is rounded to 8 bit. Rounds go on over the set until the share of
    recognised images is below ``target``, nothing can change any more, or ``rounds`` are done.

    In ``mode=standard`` values that P leaves as they are are not selected: they would use up the round, and pixelation,
    which does not change what is pixelated already, would stall.

    The noise of dp-pix and dp-blur lands on values that the image itself selects, anew in every round: there is no
    differential privacy.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"identity", "recogniser"})
    shardable: ClassVar[bool] = False
    source: ClassVar[str] = "Haffar, Sanchez, Khan, Domingo-Ferrer, Transactions on Data Privacy 18:3, 135-155, 2025"

    perturb: Perturb = "blur"
    q: Percentile = None
    target: Target = 0.01
    rounds: Limit = 200
    preset: Preset = "paper"
    mode: Mode = "standard"
    saliency: Annotated[Method, Field(description="how the identification is explained")] = "signed"
    pool: Annotated[Pool | None, Field(description="of the channels; default: none, of a mask max")] = None
    kernel: Annotated[int | None, Field(description="of blur (box) and dp-blur (Gaussian) in px")] = None
    size: Annotated[int | None, Field(description="of pixelate in px")] = None
    variant: Annotated[Literal["mean", "edi"] | None, Field(description="of pixelate")] = None
    b: Annotated[int | None, Field(description="of dp-pix and dp-blur, side of a cell in px")] = None
    m: Annotated[int | None, Field(description="of dp-pix and dp-blur, pixels in which neighbours may differ")] = None
    eps: Annotated[float | None, Field(description="of dp-pix and dp-blur, for grey levels")] = None
    sigma: Annotated[float | None, Field(description="of noise, in grey levels; there is no published one")] = None
    colour: Annotated[Literal["black", "red"] | None, Field(description="of a mask")] = None
    layout: Annotated[Literal["channels-last", "contiguous"], Field(description="of images in memory")] = (
        "channels-last"
    )
    precision: Annotated[
        Literal["float32", "bfloat16"], Field(description="of the recogniser; bfloat16 is for GPUs")
    ] = "float32"

    @model_validator(mode="after")
    def _buildable(self) -> EdiAnon:
        self._perturbation(perturbations.PUBLISHED_SIDE)
        if self.perturb == "mask" and self.pool == "none":
            raise ValueError("a mask covers pixels, not single channels: pool=max, pool=sum or pool=red")
        return self

    @property
    def percentile(self) -> float:
        """``q``, or the published one."""
        return perturbations.PUBLISHED_Q.get(self.perturb, 90.0) if self.q is None else self.q

    @property
    def pooling(self) -> Pool:
        """``pool``, or the usual one of this perturbation and mode."""
        if self.pool is not None or self.perturb != "mask":
            return self.pool or "none"
        return "red" if self.mode == "reference" else "max"

    @property
    def given(self) -> dict[str, ParamValue]:
        """The strengths that were given."""
        return {name: value for name in STRENGTHS if (value := getattr(self, name)) is not None}

    def found(self) -> dict[str, str]:
        """The source of the conventional filters by hash: they are the perturbations."""
        return {"conventional": source_hash(Blur)}

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Runs the rounds on the set, on the controller's recogniser.

        Raises:
            EntrantError: there is no recogniser of the people on the images, or it has no gradient or no second person.
        """
        rounds = self._rounds(images, controller)
        trace = rounds.run()
        return Released(rounds.images, self._notes(images, trace), trace=trace)

    def _rounds(self, images: ImageSet, controller: Controller) -> Rounds:
        if images.identity is None or controller.recogniser is None:
            raise EntrantError(
                "EDI-Anon needs to know who is on the images and a recogniser of these people; none was handed out"
            )
        classifier = controller.recogniser.copy().for_labels(images.identity)
        layout = LAYOUTS[self.layout]
        network = classifier.network.to(controller.device).requires_grad_(False).eval()
        network = network.to(memory_format=layout)
        dtype = next((part.dtype for part in network.parameters()), torch.float32)
        return Rounds(
            images,
            images.identity.values,
            Explainer(self._precise(network, controller.device), self.saliency),
            self._perturbation(min(images.size)),
            Selection(self.percentile, self.pooling, self.mode == "reference"),
            target=self.target,
            limit=self.rounds,
            batch=-(-controller.batch_size // BLOCK) * BLOCK,
            seed=controller.seed,
            device=controller.device,
            dtype=dtype,
            layout=layout,
            progress=controller.progress,
        )

    def _precise(self, network: torch.nn.Module, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
        if self.precision == "float32":
            return network

        def brief(images: torch.Tensor) -> torch.Tensor:
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                logits: torch.Tensor = network(images)
                return logits.float()

        return brief

    def _perturbation(self, side: int) -> perturbations.Perturbation:
        return perturbations.build(self.perturb, self.given, side, self.mode == "reference")

    def _notes(self, images: ImageSet, trace: Trace) -> Mapping[str, str]:
        """What the record says about the run."""
        made, first, last = len(trace.risk) - 1, float(trace.risk[0]), float(trace.risk[-1])
        reached = "below" if last < self.target else "NOT below"
        notes = {
            "perturbation": perturbations.text_of(self.perturb, self.given, min(images.size)),
            "rounds": f"{made} of at most {self.rounds}",
            "selection": f"percentile {self.percentile:g} of the {self.saliency} saliency, channels pooled: {self.pooling}",
            "named by its own recogniser": f"{first:.2%} before, {last:.2%} after, {reached} the target of {self.target:.2%}",
        }
        if last >= self.target:
            why = "no further round changes them" if made < self.rounds else "the rounds are used up"
            notes["not converged"] = (
                f"{int(trace.recognised.sum())} of {len(images)} images are still recognised; {why}"
            )
        return notes
