"""Judges of attributes that no suite has trained: DeepFace's age, gender, race and emotion, without TensorFlow.

What ``DeepFace.analyze(..., detector_backend="skip")`` does on onnxruntime: the whole image counts as the face,
because the suite owns its crops, so landmarks are not used and a face is always found. The image is turned to BGR, divided
by 255 and stretched to 224 x 224, with black borders where it is not square; the emotion network makes it grey and 48 x 48.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.errors import EnvironmentProblem, UsageError, did_you_mean
from benchmark.protocols import Missing
from benchmark.weights import found_hash
from metrics.attackers.deepface import AT_A_TIME, ModelClass, deepface_client, deepface_missing, to_bgr
from metrics.onnx_model import GraphShape, fixed_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Decide = Callable[[NDArray[np.float64]], NDArray[np.int64]]

DEMOGRAPHY = "deepface.models.demography"
SIDE = 224
AGES = 101
YOUNG_OLD = ("young", "old")
OLD_FROM = 45.0
"""The cut in years between ``young`` and ``old`` that published protocols share, as in the suites of folders."""
_GROUP = re.compile(r"(?:>=(?P<low>\S+))?(?: ?<(?P<high>\S+))?")
_SAME: Mapping[str, str] = {"female": "woman", "females": "woman", "male": "man", "males": "man"}
"""Words of data sets for classes of deepface."""


@dataclass(frozen=True)
class _Part:
    """One of deepface's attribute networks; ``labels`` is the list in ``DemographyUtils``, empty for a number."""

    model: ModelClass
    labels: str = ""


def _part(name: str, client: str, labels: str, count: int, size: tuple[int, int, int] = (SIDE, SIDE, 3)) -> _Part:
    shape = GraphShape((None, *size), (None, count))
    return _Part(ModelClass(f"{DEMOGRAPHY}.onnx.{name}", client, f"deepface-{name.lower()}", shape), labels)


_PARTS: Mapping[str, _Part] = {
    "age": _part("Age", "ApparentAgeClient", "", AGES),
    "gender": _part("Gender", "GenderClient", "GENDER_LABELS", 2),
    "race": _part("Race", "RaceClient", "RACE_LABELS", 6),
    "emotion": _part("Emotion", "EmotionClient", "EMOTION_LABELS", 7, (48, 48, 1)),
}
ATTRIBUTES: tuple[str, ...] = tuple(_PARTS)
"""What deepface judges."""


@dataclass(eq=False)
class DeepfaceJudge:
    """One of deepface's attribute networks, opened when it is first asked.

    Attributes:
        classes: what ``predictions`` counts through.
        weights: sha256 of the weight file by its name in the registry.
    """

    classes: tuple[str, ...]
    weights: dict[str, str]
    _open: Callable[[], Any] = field(repr=False)
    _decide: Decide = field(repr=False)

    def predictions(self, images: torch.Tensor, landmarks: torch.Tensor | None = None) -> torch.Tensor:
        """Judges every image by itself.

        Args:
            images: uint8 ``[N, 3, H, W]`` RGB, faces as the suite cropped them.
            landmarks: not used.

        Returns:
            int64 ``[N]``, indices into ``classes``.

        Raises:
            EnvironmentProblem: the weight file is something else.
        """
        step = fixed_batch(self._open().model) or AT_A_TIME
        parts = [self._decide(self.outputs(part)) for part in images.split(step) if len(part)]
        return torch.from_numpy(np.concatenate([np.empty(0, np.int64), *parts]))

    def outputs(self, images: torch.Tensor) -> NDArray[np.float64]:
        """What the network says of one batch: ages in years ``[B, 1]``, or a probability per class ``[B, K]``."""
        found = self._open().predict(faces_of(images))
        values = np.asarray(found, dtype=np.float64).reshape(len(images), -1)
        if not np.isfinite(values).all():
            name = next(iter(self.weights))
            raise EnvironmentProblem(
                f"the network of {name} gives numbers that are not finite; replace the file by {name} of the registry. "
                "To see which weights are whole, type: anonbench weights verify"
            )
        return values


def deepface_judge(attribute: str, classes: Sequence[str] = (), device: str = "cpu") -> DeepfaceJudge | Missing:
    """A judge of one attribute, with the weights on this machine.

    Args:
        attribute: ``age``, ``gender``, ``race`` or ``emotion``.
        classes: the classes of the data, if the judge shall answer in their words. For ``age`` they say where the
            groups begin (``young`` and ``old``, the default, or ``<30``, ``>=30 <60`` ...); the judge has all groups
            between these cuts, in numeric order, even if the data lack one. Elsewhere a class of deepface takes the
            name that the data have for it (``female`` for ``Woman``), and deepface's order stays.
        device: torch device name; onnxruntime computes there if its package for that device is installed.

    Returns:
        The judge, or what is missing.

    Raises:
        UsageError: there is no judge of this attribute, or age groups that are no groups of numbers.
    """
    if attribute not in _PARTS:
        raise UsageError(f"deepface judges no {attribute!r}.{did_you_mean(attribute, _PARTS)}")
    part = _PARTS[attribute]
    lacking = deepface_missing(part.model.weights)
    if lacking is not None:
        return lacking
    names, decide = _age_groups(classes) if attribute == "age" else (_renamed(_labels(part), classes), _most_likely)
    weights = part.model.weights
    return DeepfaceJudge(names, {weights: found_hash(weights)}, lambda: deepface_client(part.model, device)[0], decide)


def faces_of(images: torch.Tensor) -> NDArray[np.float32]:
    """RGB uint8 ``[B, 3, H, W]`` as ``DeepFace.analyze`` hands them to its networks: BGR ``[B, 224, 224, 3]``, 0..1."""
    from deepface.modules.detection import extract_faces
    from deepface.modules.preprocessing import resize_image

    found = extract_faces(list(to_bgr(images)), detector_backend="skip", color_face="bgr")
    return np.concatenate([resize_image(face["face"], (SIDE, SIDE)) for (face,) in found])


def age_cuts(classes: Sequence[str]) -> tuple[float, ...]:
    """Where the age groups begin that these class names describe, in years.

    Raises:
        UsageError: a name describes no group of numbers.
    """
    cuts: set[float] = set()
    for name in classes:
        cuts |= {OLD_FROM} if name in YOUNG_OLD else _bounds(name)
    return tuple(sorted(cuts))


def _bounds(name: str) -> set[float]:
    match = _GROUP.fullmatch(name)
    try:
        bounds = {float(bound) for bound in (match.groups() if match else ()) if bound is not None}
    except ValueError:
        bounds = set()
    if not bounds or not all(map(math.isfinite, bounds)):
        raise UsageError(f"{name!r} is no age group that a number can fall into; give ages in years and --group age=45")
    return bounds


def _age_groups(classes: Sequence[str]) -> tuple[tuple[str, ...], Decide]:
    """Names of the groups in numeric order, and what puts ages into them; a value equal to a cut belongs above it."""
    given = tuple(classes) or YOUNG_OLD
    cuts = age_cuts(given)
    between = [f">={low:g} <{high:g}" for low, high in itertools.pairwise(cuts)]
    names = (f"<{cuts[0]:g}", *between, f">={cuts[-1]:g}")
    if set(given) <= set(YOUNG_OLD):
        names = YOUNG_OLD
    elif not set(given) <= set(names):
        raise UsageError(f"{', '.join(given)} overlap; group ages at cut points: --group age=CUT")

    def decide(ages: NDArray[np.float64]) -> NDArray[np.int64]:
        whole = np.trunc(ages[:, 0])  # deepface reports whole years
        found: NDArray[np.int64] = np.searchsorted(cuts, whole, side="right").astype(np.int64)
        return found

    return names, decide


def _most_likely(outputs: NDArray[np.float64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = outputs.argmax(axis=1).astype(np.int64)
    return found


def _labels(part: _Part) -> tuple[str, ...]:
    from deepface.models.demography import DemographyUtils

    return tuple(getattr(DemographyUtils, part.labels))


def _renamed(own: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Deepface's classes in its own order, under the names that the data have for them."""
    theirs = {_SAME.get(name.lower(), name.lower()): name for name in classes}
    return tuple(theirs.get(name.lower(), name) for name in own)
