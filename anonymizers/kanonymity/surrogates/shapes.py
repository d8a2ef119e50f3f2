"""Shapes of faces: five landmarks, what is derived from them, and their mean without the pose."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from anonymizers.kanonymity.surrogates.components import Components, learn_components

LEFT_EYE, RIGHT_EYE, _, LEFT_CORNER, RIGHT_CORNER = range(5)
DERIVED = (
    ("left brow", -0.5, -0.28),
    ("right brow", 0.5, -0.28),
    ("forehead", 0.0, -0.95),
    ("left temple", -1.1, 0.0),
    ("right temple", 1.1, 0.0),
    ("left cheek", -0.9, 0.9),
    ("right cheek", 0.9, 0.9),
    ("chin", 0.0, 1.75),
)
"""Points that nobody marks: eye distances to the right and eye-to-mouth distances down, from between the eyes.

Rough, and the same for all faces: they carry hair, outline and chin along with the eyes and the mouth.
"""

MARGIN = 1.0
"""Least distance in px of a point of the face from the border of the image."""
ROUNDS = 5
"""Of the alignment of shapes to their mean; it settles after two."""
POSE = 4
"""Values of a pose: logarithm of the scale, angle, and centre."""


def all_points(landmarks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The points of a triangulation: five landmarks, the derived ones, and eight on the border of the image.

    The border runs around the outermost pixels, half a pixel from their centres, so that all centres are inside.

    Args:
        landmarks: float64 ``[N, 5, 2]`` (x, y).
        size: height and width in px.

    Returns:
        float64 ``[N, 21, 2]``; what would be outside of the image is moved to its edge.
    """
    height, width = size
    far = torch.tensor([width - 1 - MARGIN, height - 1 - MARGIN], dtype=torch.float64)
    face = torch.cat([landmarks, _derived(landmarks)], dim=1)
    face = torch.minimum(face.clamp(min=MARGIN), far)
    across, down = (width / 2, height / 2)
    frame = [(x * across - 0.5, y * down - 0.5) for x in range(3) for y in range(3) if (x, y) != (1, 1)]
    return torch.cat([face, torch.tensor(frame, dtype=torch.float64).expand(len(face), -1, -1)], dim=1)


def _derived(landmarks: torch.Tensor) -> torch.Tensor:
    between = (landmarks[:, LEFT_EYE] + landmarks[:, RIGHT_EYE]) / 2
    right = landmarks[:, RIGHT_EYE] - landmarks[:, LEFT_EYE]
    down = (landmarks[:, LEFT_CORNER] + landmarks[:, RIGHT_CORNER]) / 2 - between
    return torch.stack([between + x * right + y * down for _, x, y in DERIVED], dim=1)


@dataclass(frozen=True, eq=False)
class Shapes:
    """A model of the shapes of faces.

    Attributes:
        reference: complex128 ``[5]``, the mean shape around 0, of norm 1.
        pose: float64 ``[4]``, the mean pose.
        components: of shapes in the pose of the reference, ``[10]`` values each.
    """

    reference: torch.Tensor
    pose: torch.Tensor
    components: Components

    def describe(self, landmarks: torch.Tensor) -> torch.Tensor:
        """Pose and aligned shape, float64 ``[N, 14]`` of ``[N, 5, 2]``: values whose means are meaningful."""
        return _describe(landmarks, self.reference)

    def landmarks(self, described: torch.Tensor) -> torch.Tensor:
        """Landmarks ``[N, 5, 2]`` of a pose and an aligned shape, of which the components are kept."""
        shape = self.components.nearest(described[:, POSE:])
        return _placed(described[:, :POSE], torch.view_as_complex(shape.reshape(-1, 5, 2).contiguous()))

    def mean(self) -> torch.Tensor:
        """The mean shape in the mean pose, ``[5, 2]``."""
        return _placed(self.pose[None], self.reference[None])[0]


def _placed(pose: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    turn = torch.polar(pose[:, 0].exp(), pose[:, 1])[:, None]
    return torch.view_as_real(shape * turn + torch.complex(pose[:, 2], pose[:, 3])[:, None])


def _describe(landmarks: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Pose by least squares, as complex numbers: a shape times one number is the shape turned and scaled."""
    points = torch.view_as_complex(landmarks.double().contiguous())
    centre = points.mean(dim=1, keepdim=True)
    turn = ((points - centre) * reference.conj()).sum(dim=1, keepdim=True)
    aligned = torch.view_as_real((points - centre) / turn).flatten(1)
    return torch.cat([turn.abs().log(), turn.angle(), centre.real, centre.imag, aligned], dim=1)


def learn_shapes(landmarks: torch.Tensor, components: float) -> Shapes:
    """Mean shape (generalised Procrustes analysis), mean pose, and components of float ``[N, 5, 2]``."""
    reference = _unit(torch.view_as_complex(landmarks.double().mean(dim=0)))
    for _ in range(ROUNDS):
        described = _describe(landmarks, reference)
        reference = _unit(torch.view_as_complex(described[:, POSE:].mean(dim=0).reshape(5, 2)))
    described = _describe(landmarks, reference)
    return Shapes(reference, described[:, :POSE].mean(dim=0), learn_components(described[:, POSE:], components))


def _unit(shape: torch.Tensor) -> torch.Tensor:
    centred = shape - shape.mean()
    return centred / centred.abs().square().sum().sqrt()
