"""Trade-off of privacy and utility: who is not beaten in both, and how much of the unit square a board covers."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]
"""Privacy and utility, each 0..1 and better when larger."""

STRENGTHS = 3
"""So many entrants that differ in parameters alone make a curve."""


def normalised_risk(risk: float, chance: float) -> float:
    """Risk above guessing: 0 where an attacker learns nothing more than by guessing, 1 where it names everybody.

    Args:
        risk: share of people named rightly, 0..1.
        chance: the same for blind guessing, 0..1 and below 1.

    Returns:
        ``(risk - chance) / (1 - chance)``, kept within 0..1.

    Raises:
        ValueError: ``risk`` or ``chance`` is no share, or guessing already names everybody.
    """
    if not 0 <= risk <= 1 or not 0 <= chance < 1:
        raise ValueError(f"risk {risk} above chance {chance} means nothing; give shares, chance below 1")
    return min(max((risk - chance) / (1 - chance), 0.0), 1.0)


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Positions of the points that no other point beats: none is as good in both coordinates and better in one.

    Equal points do not beat each other: both belong to the front, or neither does.

    Args:
        points: larger is better in both coordinates.

    Returns:
        Positions in ``points``, the largest first coordinate first, equal points in their order.
    """
    ordered = sorted(range(len(points)), key=lambda place: (-points[place][0], -points[place][1], place))
    front: list[int] = []
    for place in ordered:
        if not front or points[place][1] > points[front[-1]][1] or points[place] == points[front[-1]]:
            front.append(place)
    return front


def hypervolume(points: Sequence[Point]) -> float:
    """Area that lies below and to the left of at least one point, from the reference point (0, 0).

    The union of the rectangles from (0, 0) to each point (Zitzler and Thiele, IEEE TEVC 3(4), 1999, in two dimensions):
    it does not depend on the order of the points, and a point that is beaten adds nothing.

    Args:
        points: larger is better in both coordinates; what is negative adds nothing.

    Returns:
        The area, within 0..1 for points of the unit square; 0 without points.
    """
    inside = [(max(x, 0.0), max(y, 0.0)) for x, y in points]
    below, area = 0.0, 0.0
    for place in pareto_front(inside):
        x, y = inside[place]
        area += x * (y - below)
        below = y
    return area


def family_area(points: Sequence[Point]) -> float:
    """Area under the privacy-utility staircase of one family of strengths, in any order.

    Args:
        points: one per strength, at least ``STRENGTHS``.

    Returns:
        :func:`hypervolume` of the family alone.

    Raises:
        ValueError: there are too few strengths to speak of a curve.
    """
    if len(points) < STRENGTHS:
        raise ValueError(f"{len(points)} strengths make no staircase; measure the family at {STRENGTHS} or more")
    return hypervolume(points)
