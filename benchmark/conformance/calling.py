"""Calling an entrant as the harness does, and what came of it."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Literal

import torch

from benchmark.conformance import pictures
from benchmark.errors import AnonbenchError, EntrantError, EnvironmentProblem, as_line
from benchmark.images import ImageSet, Labels, Released, check_released
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.learning.networks import embed
from benchmark.protocols import USES, Anonymizer, Controller, Report, quiet
from benchmark.registry import Entrant
from benchmark.release import disguised

SALT = "conformance"
"""Makes the keys that entrants see."""
NARROW = {"width": 8}
"""Parameters of the recogniser: it has to name a few drawn people."""
Trouble = Literal["", "refused", "crashed", "broken"]


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        given: what the entrant was handed, as it was before the call.
        released: what it returned, if that keeps the protocol; the pixels are a copy.
        trouble: ``refused`` it in one line of its own, ``crashed``, or ``broken``: returned what breaks the protocol.
        text: what the trouble was, one line.
        seconds: time inside ``anonymize``.
        machine: whether it says that the machine is in the way.
    """

    given: ImageSet
    released: Released | None = None
    trouble: Trouble = ""
    text: str = ""
    seconds: float = 0.0
    machine: bool = False

    @property
    def by_key(self) -> dict[str, torch.Tensor]:
        """Released pixels, black where missing, by key; empty where there was trouble."""
        if self.released is None:
            return {}
        return dict(zip(self.given.keys, published(self.released), strict=True))


def published(released: Released) -> torch.Tensor:
    """Released pixels, black where missing: uint8 ``[N, 3, H, W]``."""
    gone = torch.zeros(len(released.images), dtype=torch.bool) if released.missing is None else released.missing
    return released.images.masked_fill(gone[:, None, None, None], 0)


def same(one: Outcome, other: Outcome) -> bool:
    """Whether the images that both were given were released the same."""
    ours, theirs = one.by_key, other.by_key
    shared = ours.keys() & theirs.keys()
    return bool(shared) and all(torch.equal(ours[key], theirs[key]) for key in shared)


@dataclass
class Caller:
    """Calls one entrant.

    Attributes:
        entrant: whom.
        plain: the plain faces with all labels.
        report: shows progress.
        changed: whether the entrant ever changed what it was handed.
    """

    entrant: Entrant
    plain: ImageSet
    report: Report = quiet
    changed: bool = False
    _fitted: list[Anonymizer] = field(default_factory=list)

    @property
    def people(self) -> int:
        """How many are on the pictures."""
        assert self.plain.identity is not None
        return len(self.plain.identity.classes)

    def hand(self, images: ImageSet, uses: frozenset[str] | None = None) -> ImageSet:
        """Copies under keys that name nobody, with the labels the entrant declared (or ``uses``)."""
        return disguised(images, self.entrant.uses if uses is None else uses, SALT)

    def call(
        self,
        given: ImageSet,
        batch_size: int = 64,
        fresh: bool = False,
        uses: frozenset[str] | None = None,
        replaced: str = "",
        known: ImageSet | None = None,
    ) -> Outcome:
        """Lets the entrant anonymize a set, and never raises what it raises.

        Args:
            given: what it is handed; it gets a copy.
            batch_size: of the controller.
            fresh: build it anew, so that it remembers nothing.
            uses: what the controller holds; None is what the entrant declared.
            replaced: ``train`` or ``recogniser``, to hand out another one than usual.
            known: pictures with the people that the recogniser knows; None is the plain faces.
        """
        title = f"{self.entrant.spec}: {len(given)} images of {given.size[0]} x {given.size[1]}"
        with self.report(title, len(given)) as progress:
            controller = self._controller(self.entrant.uses if uses is None else uses, replaced, known or self.plain)
            controller = dataclasses.replace(controller, batch_size=batch_size, progress=progress)
            return self._guarded(given, controller, fresh)

    def _guarded(self, given: ImageSet, controller: Controller, fresh: bool) -> Outcome:
        handed = given.select(torch.arange(len(given)))
        try:
            return self._called(given, handed, controller, fresh)
        except AnonbenchError as error:
            machine = isinstance(error, EnvironmentProblem)
            return Outcome(given, trouble="refused", text=str(error), machine=machine)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary to somebody else's code
            return Outcome(given, trouble="crashed", text=as_line(error))
        finally:
            self.changed = self.changed or _differ(given, handed)

    def _called(self, given: ImageSet, handed: ImageSet, controller: Controller, fresh: bool) -> Outcome:
        anonymizer = (self.entrant.fresh() if fresh else self.entrant).anonymizer
        self._fit(anonymizer, controller)
        started = time.perf_counter()
        returned = anonymizer.anonymize(handed, controller)
        return _checked(given, returned, time.perf_counter() - started)

    def _fit(self, anonymizer: Anonymizer, controller: Controller) -> None:
        fit = getattr(anonymizer, "fit", None)
        if fit is not None and all(anonymizer is not known for known in self._fitted):
            fit(controller.train, controller)
            self._fitted.append(anonymizer)

    def _controller(self, uses: frozenset[str], replaced: str, known: ImageSet) -> Controller:
        others = recogniser = None
        if "train" in uses:
            others = disguised(pictures.other_faces(other=replaced == "train"), USES, SALT)
        if "recogniser" in uses:
            other = replaced == "recogniser"  # one that takes everybody for somebody else
            recogniser = recogniser_of(relabelled(known, "identity") if other else known)
        return Controller(train=others, recogniser=recogniser)


def _checked(given: ImageSet, returned: object, seconds: float) -> Outcome:
    try:
        released = check_released(returned, given)
    except EntrantError as error:
        return Outcome(given, trouble="broken", text=str(error), seconds=seconds)
    except Exception as error:  # noqa: BLE001 - fields of another kind than declared may raise anything
        return Outcome(given, trouble="broken", text=as_line(error), seconds=seconds)
    copied = dataclasses.replace(released, images=released.images.cpu().clone())
    return Outcome(given, copied, seconds=seconds)


def _differ(before: ImageSet, after: ImageSet) -> bool:
    """Whether pixels or labels were changed; the content of ``after`` is computed anew."""
    try:
        return before.content != dataclasses.replace(after).content
    except Exception:  # noqa: BLE001 - what is no image set any more was changed
        return True


def recogniser_of(known: ImageSet) -> Classifier:
    """A small classifier that names the people on these very pictures.

    Nothing is trained: features of random convolutions are mapped on the people by least squares, in closed form.
    """
    assert known.identity is not None
    architecture = Architecture("small-resnet", known.identity.classes, NARROW)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = architecture.build().eval().requires_grad_(False)
    first = network.get_parameter("stem.0.weight")
    first.sub_(first.mean((2, 3), keepdim=True))  # it sees edges alone, so that a blur is enough to fool it
    wanted = torch.nn.functional.one_hot(known.identity.values, len(known.identity.classes))
    _solve(network, known.images, wanted.double())
    return Classifier("recogniser", architecture, network, "")


@torch.inference_mode()
def _solve(network: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> None:
    """Sets the last layer so that it answers ``targets`` ``[N, C]`` with 10 for right and 0 for wrong, nearly."""
    features = embed(network, images.float() / 255).double()
    mean = features.mean(0)
    centred, wanted = features - mean, 10 * (targets - targets.mean(0))
    gram = centred.T @ centred
    weights = torch.linalg.solve(
        gram + 1e-6 * gram.trace() * torch.eye(len(gram), dtype=torch.float64), centred.T @ wanted
    )
    head = network.get_submodule("head")
    assert isinstance(head, torch.nn.Linear)
    head.weight.copy_(weights.T)
    head.bias.copy_(10 * targets.mean(0) - mean @ weights)


def relabelled(images: ImageSet, name: str) -> ImageSet:
    """The same pictures with another ``identity``, other ``attributes`` or other ``landmarks``."""
    if name == "identity":
        assert images.identity is not None
        return dataclasses.replace(images, identity=_next(images.identity))
    if name == "attributes":
        return dataclasses.replace(images, attributes={key: _next(part) for key, part in images.attributes.items()})
    assert images.landmarks is not None
    moved = images.landmarks + 0.15 * min(images.size)
    return dataclasses.replace(images, landmarks=moved)


def _next(labels: Labels) -> Labels:
    """The labels moved on by one image, so that photographs of one person no longer are."""
    return Labels(labels.values.roll(1), labels.classes)
