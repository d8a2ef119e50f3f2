"""Conventional anonymizers: controls, blurs, pixelation, noise, masks, and k-Same."""
