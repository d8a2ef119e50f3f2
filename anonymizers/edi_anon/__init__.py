"""EDI-Anon: explainability-driven incremental anonymization.

Haffar, Sanchez, Khan, Domingo-Ferrer, Transactions on Data Privacy 18:3 (2025) 135-155. Only the pixels that explain
the identification are perturbed, a few per round, until the recogniser that drives it names almost nobody any more.
"""

from anonymizers.edi_anon.entrant import EdiAnon

__all__ = ["EdiAnon"]
