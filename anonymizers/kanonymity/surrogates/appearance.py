"""Means of shape and of appearance, as in k-Same-M."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from anonymizers.kanonymity.surrogates.base import Request, group_means, settled
from anonymizers.kanonymity.surrogates.components import Components, enough, learn_components
from anonymizers.kanonymity.surrogates.eigenfaces import Basis, basis_images
from anonymizers.kanonymity.surrogates.shapes import Shapes, all_points, learn_shapes
from anonymizers.kanonymity.surrogates.warps import Mesh, sample, triangulate, warp_to
from benchmark.errors import EntrantError
from benchmark.faces import usable
from benchmark.filters import to_bytes
from benchmark.images import ImageSet


@dataclass(frozen=True, eq=False)
class Model:
    """An active appearance model without its search: the landmarks are known.

    Attributes:
        shapes: of the faces.
        mesh: of the mean shape in the mean pose.
        points: of that mesh, float64 ``[K, 2]``.
        textures: components of images warped to the mean shape.
        device: where images are warped.
    """

    shapes: Shapes
    mesh: Mesh
    points: torch.Tensor
    textures: Components
    device: str

    def texture(self, images: ImageSet) -> torch.Tensor:
        """Images warped to the mean shape, float64 ``[B, 3 * H * W]`` in grey levels."""
        return warp_to(self.mesh, images, self.device).flatten(1).double()

    def shape(self, images: ImageSet) -> torch.Tensor:
        """Pose and aligned shape, float64 ``[B, 14]``."""
        return self.shapes.describe(_landmarks(images))

    def render(self, shape: torch.Tensor, texture: torch.Tensor) -> torch.Tensor:
        """One face, uint8 ``[3, H, W]``.

        Args:
            shape: float64 ``[14]``.
            texture: float64 ``[3 * H * W]``, in the mean shape.
        """
        size = self.mesh.size
        points = all_points(self.shapes.landmarks(shape[None]), size)[0]
        positions = triangulate(points, size).positions(self.points[None])
        return to_bytes(settled(sample(texture.reshape(1, 3, *size), positions, size)))[0]


def _landmarks(images: ImageSet) -> torch.Tensor:
    assert images.landmarks is not None
    return images.landmarks.double()


def check_landmarks(surrogate: str, images: ImageSet) -> None:
    """Raises EntrantError where a face has no usable landmarks."""
    lacking = len(images) if images.landmarks is None else int((~usable(images.landmarks)).sum())
    if lacking:
        raise EntrantError(
            f"surrogate={surrogate} needs the five landmarks of every face, and {lacking} of {len(images)} images have "
            "none: use surrogate=pixels, or a suite with landmarks"
        )


@dataclass(frozen=True)
class Appearance:
    """The mean shape of a group with the mean of its faces warped to one shape: no ghosts of eyes and mouths.

    k-Same-M averages the parameters of an active appearance model. They are linear, so that the mean of parameters is
    the parameters of the mean; the model's search for landmarks is replaced by the landmarks of the set.

    Attributes:
        shapes: components of the shape, at most; five landmarks have six.
        textures: components of the appearance, at most.
        basis: ``train`` learns mean shape and components from other people, so that a surrogate depends on its group
            alone; ``set`` learns them from the set itself, as published.
    """

    shapes: int = 40
    textures: int = 300
    basis: Basis = "train"

    source: ClassVar[str] = "Gross, Sweeney, de la Torre and Baker, Model-Based Face De-Identification, CVPRW 2006"

    @property
    def uses(self) -> frozenset[str]:
        """Who is on the images, landmarks, and other people where the basis is theirs."""
        return frozenset({"identity", "landmarks"}) | ({"train"} if self.basis == "train" else frozenset())

    def render(self, request: Request) -> torch.Tensor:
        """One face per group, uint8 ``[G, 3, H, W]``.

        Raises:
            EntrantError: images have no landmarks, or there are no other people to learn from.
        """
        check_landmarks("appearance", request.images)
        model = self.learn(request)
        shapes = group_means(request, model.shape)
        textures = model.textures.nearest(group_means(request, model.texture))
        return torch.stack([model.render(*part) for part in zip(shapes, textures, strict=True)])

    def learn(self, request: Request) -> Model:
        """The model."""
        images = basis_images("appearance", self.basis, request)
        check_landmarks("appearance", images)
        few = images[: enough(len(images), images.images[0].numel())]
        shapes = learn_shapes(_landmarks(few), self.shapes)
        points = all_points(shapes.mean()[None], images.size)[0]
        mesh, device = triangulate(points, images.size), request.controller.device
        rows = torch.cat(
            [warp_to(mesh, part, device).flatten(1) for part in few.batches(request.controller.batch_size)]
        )
        return Model(shapes, mesh, points, learn_components(rows, self.textures), device)
