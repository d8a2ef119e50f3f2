"""The two things that flow along the street: an ``ImageSet`` and what is ``Released`` from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import torch

from benchmark.errors import EntrantError
from benchmark.hashing import sha256_json, sha256_tensor
from benchmark.trace import PREFIX, Trace

LANDMARK_NAMES = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")


@dataclass(frozen=True, eq=False)
class Labels:
    """One label per image.

    Attributes:
        values: int64 ``[N]``, indices into ``classes``.
        classes: names of the classes, in sorted or otherwise fixed order.
    """

    values: torch.Tensor
    classes: tuple[str, ...]

    def __getitem__(self, index: torch.Tensor | slice) -> Labels:
        return Labels(self.values[index], self.classes)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size with stable keys and what is known about them.

    Attributes:
        images: uint8 ``[N, 3, H, W]`` RGB, values 0..255.
        keys: one unique name per image, the same on every machine.
        identity: who is on each image, or None where nobody knows.
        attributes: further labels by name (``gender``, ``age``, ...).
        landmarks: float32 ``[N, 5, 2]`` (x, y) in pixels, the centre of the top-left pixel at (0, 0), in the
            order of ``LANDMARK_NAMES`` (left and right as seen in the image), or None.
        missing: bool ``[N]``, released images that were never delivered: they count as identified and worthless, and
            their pixels are black; None where all are there.
    """

    images: torch.Tensor
    keys: tuple[str, ...]
    identity: Labels | None = None
    attributes: Mapping[str, Labels] = field(default_factory=lambda: MappingProxyType({}))
    landmarks: torch.Tensor | None = None
    missing: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.dim() != 4 or self.images.shape[1] != 3:
            raise ValueError(f"images must be uint8 [N, 3, H, W], not {self.images.dtype} {tuple(self.images.shape)}")
        if len(self.keys) != len(self.images) or len(set(self.keys)) != len(self.keys):
            raise ValueError("keys must be unique, one per image")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.images.shape[2]), int(self.images.shape[3])

    def __getitem__(self, index: slice) -> ImageSet:
        return ImageSet(
            self.images[index],
            self.keys[index],
            self.identity[index] if self.identity else None,
            {name: labels[index] for name, labels in self.attributes.items()},
            None if self.landmarks is None else self.landmarks[index],
            None if self.missing is None else self.missing[index],
        )

    def select(self, index: torch.Tensor) -> ImageSet:
        """The images at ``index`` (int64 ``[M]``), in that order."""
        rows = index.tolist()
        return ImageSet(
            self.images[index],
            tuple(self.keys[row] for row in rows),
            self.identity[index] if self.identity else None,
            {name: labels[index] for name, labels in self.attributes.items()},
            None if self.landmarks is None else self.landmarks[index],
            None if self.missing is None else self.missing[index],
        )

    def batches(self, size: int) -> Iterator[ImageSet]:
        """Consecutive parts of at most ``size`` images."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def with_images(self, images: torch.Tensor) -> ImageSet:
        """The same keys and labels on other pixels."""
        return dataclasses.replace(self, images=images)

    def without(self, *, identity: bool = False, attributes: bool = False, landmarks: bool = False) -> ImageSet:
        """A copy that does not know what is named true."""
        return ImageSet(
            self.images,
            self.keys,
            None if identity else self.identity,
            {} if attributes else self.attributes,
            None if landmarks else self.landmarks,
            self.missing,
        )

    @property
    def delivered(self) -> torch.Tensor:
        """Which images are there, bool ``[N]``."""
        return torch.ones(len(self), dtype=torch.bool) if self.missing is None else ~self.missing

    @cached_property
    def content(self) -> str:
        """sha256 over keys, pixels and labels."""
        labels = {name: [list(part.classes), part.values.tolist()] for name, part in self.attributes.items()}
        who = None if self.identity is None else [list(self.identity.classes), self.identity.values.tolist()]
        points = None if self.landmarks is None else sha256_tensor(self.landmarks)
        return sha256_json([list(self.keys), sha256_tensor(self.images), who, labels, points])


def joined(sets: Sequence[ImageSet]) -> ImageSet:
    """Several sets as one, with the landmarks and attributes that all of them have; who is on them is not kept.

    Args:
        sets: at least one; images of one size.
    """
    points = [part.landmarks for part in sets if part.landmarks is not None]
    shared = [name for name in sets[0].attributes if all(name in part.attributes for part in sets)]
    return ImageSet(
        images=torch.cat([part.images for part in sets]),
        keys=tuple(f"{number}/{key}" for number, part in enumerate(sets) for key in part.keys),
        attributes={name: _joined_labels([part.attributes[name] for part in sets]) for name in shared},
        landmarks=torch.cat(points) if len(points) == len(sets) else None,
    )


def _joined_labels(parts: Sequence[Labels]) -> Labels:
    """Labels one after another, with the classes of all of them."""
    classes = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    places = [torch.tensor([classes.index(name) for name in part.classes], dtype=torch.int64) for part in parts]
    return Labels(torch.cat([place[part.values] for place, part in zip(places, parts, strict=True)]), classes)


@dataclass(frozen=True, eq=False)
class Released:
    """What an anonymizer publishes.

    Attributes:
        images: uint8 ``[N, 3, H, W]``, one per image it was given, in the order given.
        missing: bool ``[N]``, images it could not release; whatever their pixels are, they are not published. None:
            there are none.
        notes: named arrays or short facts for audits and pages (groups of a k-anonymous release, source of the
            landmarks); an attacker never sees them.
        trace: the rounds of a method that works in rounds, over a whole set.
    """

    images: torch.Tensor
    notes: Mapping[str, torch.Tensor | str] = field(default_factory=lambda: MappingProxyType({}))
    missing: torch.Tensor | None = None
    trace: Trace | None = None


def check_released(released: object, original: ImageSet) -> Released:
    """Holds what an anonymizer returned against the protocol.

    Raises:
        EntrantError: it is not a ``Released``, or its images differ in number, shape, or type from the originals.
    """
    if not isinstance(released, Released):
        raise EntrantError(f"anonymize() must return benchmark.images.Released, not {type(released).__name__}")
    images = released.images
    if not isinstance(images, torch.Tensor) or images.dtype != torch.uint8:
        raise EntrantError(
            f"released images must be a uint8 tensor, not {getattr(images, 'dtype', type(images).__name__)}"
        )
    if images.shape != original.images.shape:
        raise EntrantError(
            f"released images have shape {tuple(images.shape)}; expected {tuple(original.images.shape)}: "
            "one released image per original, same size, same order"
        )
    missing = released.missing
    if missing is not None and (missing.dtype != torch.bool or missing.shape != (len(original),)):
        raise EntrantError(f"missing must be bool [{len(original)}], not {missing.dtype} {list(missing.shape)}")
    for name, note in released.notes.items():
        dense = isinstance(note, torch.Tensor) and note.layout == torch.strided
        if not (dense or isinstance(note, str)):
            raise EntrantError(f"note '{name}' must be a dense tensor or a text, not {type(note).__name__}")
        if name.startswith(PREFIX):
            raise EntrantError(f"note '{name}' has a name that is kept for traces; give it another")
    trace = released.trace
    wrong = "" if trace is None else trace.problem(len(original), original.size)
    wrong = wrong or ("" if trace is None else trace.untruth(original.images, images, missing))
    if wrong:
        raise EntrantError(f"trace: {wrong}")
    return released
