"""k-anonymous faces (AnonFACES and its predecessors): groups of at least k persons share one surrogate face.

Newton, Sweeney and Malin (TKDE 2005); Gross et al. (2006); Meden et al. (Entropy 2018); Le et al. (WPES 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anonymizers.kanonymity.entrant import Kanon

__all__ = ["Kanon"]


def __getattr__(name: str) -> Any:
    """Imports the entrant when it is asked for: the command line imports a sub-package, and must not wait for torch."""
    if name != "Kanon":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from anonymizers.kanonymity.entrant import Kanon

    return Kanon
