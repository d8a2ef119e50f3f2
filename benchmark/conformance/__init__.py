"""The conformance kit: does an entrant keep the protocol? Tried on generated pictures, without suite or network."""

from benchmark.conformance.examination import Examination, Finding
from benchmark.conformance.examining import examine

__all__ = ["Examination", "Finding", "examine"]
