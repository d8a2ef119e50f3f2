"""What groups of people who share a surrogate cost and keep: measures of entrants that publish their groups."""

from metrics.groups.composition import Homogeneity, Silhouette, SseSst
from metrics.groups.surrogates import InformationLoss, ReIdentification

__all__ = ["Homogeneity", "InformationLoss", "ReIdentification", "Silhouette", "SseSst"]
__apart__ = True
