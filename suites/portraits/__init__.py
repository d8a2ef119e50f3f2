"""Procedural portraits: photographs of people who do not exist, with exact labels and landmarks."""

from __future__ import annotations

from suites.portraits.render import CLASSES, Portraits, render_portraits

__all__ = ["CLASSES", "Portraits", "render_portraits"]
