"""Surrogates of groups: the one face that all members of a group share."""

from anonymizers.kanonymity.surrogates.appearance import Appearance
from anonymizers.kanonymity.surrogates.base import Request, Surrogate
from anonymizers.kanonymity.surrogates.eigenfaces import Eigenfaces
from anonymizers.kanonymity.surrogates.pixels import Pixels
from anonymizers.kanonymity.surrogates.upconv import UpConv

__all__ = ["Appearance", "Eigenfaces", "Pixels", "Request", "Surrogate", "UpConv"]
