"""The published equations of style-based generators, one picture and one channel at a time, in NumPy and SciPy.

Written from the papers and from the layouts of the published files; shares no code with the project.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import convolve2d, correlate2d

TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
TENT = np.outer([1, 2, 1], [1, 2, 1]) / 16


def lrelu(x, gain=2**0.5):
    return np.where(x < 0, 0.2 * x, x) * gain


def same(x, w):
    """Correlation of [I, H, W] with [O, I, k, k], size kept."""
    return np.array([sum(correlate2d(plane, w[o, i], mode="same") for i, plane in enumerate(x)) for o in range(len(w))])


def transposed(x, w):
    """Zeros between the pixels, then full convolution: [I, H, W] and [O, I, k, k] to [O, 2H - 2 + k, ...]."""
    wide = np.zeros((len(x), 2 * x.shape[1] - 1, 2 * x.shape[2] - 1))
    wide[:, ::2, ::2] = x
    return np.array([sum(convolve2d(plane, w[o, i]) for i, plane in enumerate(wide)) for o in range(len(w))])


def filtered(x, taps, before, after):
    padded = np.pad(x, ((0, 0), (before, after), (before, after)))
    return np.array([convolve2d(plane, taps, mode="valid") for plane in padded])


def doubled(x):
    """The skip image's way up: zeros after every pixel, padding 2 and 1, low-pass filter of sum 4."""
    wide = np.zeros((len(x), 2 * x.shape[1], 2 * x.shape[2]))
    wide[:, ::2, ::2] = x
    return filtered(wide, TAPS * 4, 2, 1)


def modulated(x, weight, scales, *, demodulate, up):
    """Weights [O, I, k, k] scaled per input channel, brought to unit norm per output channel, then convolved."""
    w = np.empty_like(weight)
    for o in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            w[o, i] = weight[o, i] * scales[i]
        if demodulate:
            w[o] = w[o] / np.sqrt((w[o] ** 2).sum() + 1e-8)
    return filtered(transposed(x, w), TAPS * 4, 1, 1) if up else same(x, w)


def mapped(z, layers, rate):
    """z [D] through pixel norm and fully connected layers, a list of (weight, bias)."""
    w = z / np.sqrt((z**2).mean() + 1e-8)
    for weight, bias in layers:
        w = lrelu(weight @ w * rate / np.sqrt(weight.shape[1]) + bias * rate)
    return w


def rosinality_mapping(state, z, rate=0.01):
    count = sum(name.startswith("style.") and name.endswith(".weight") for name in state)
    return mapped(z, [(state[f"style.{i}.weight"], state[f"style.{i}.bias"]) for i in range(1, count + 1)], rate)


def rosinality_picture(state, latents, noise):
    """State dict of rosinality/stylegan2-pytorch as NumPy arrays, W+ [L, D], noise per layer [S, S] to [3, S, S]."""

    def style(prefix, w):
        weight, bias = state[f"{prefix}.conv.modulation.weight"], state[f"{prefix}.conv.modulation.bias"]
        return weight @ w / np.sqrt(weight.shape[1]) + bias

    def layer(prefix, x, w, plane, up):
        weight = state[f"{prefix}.conv.weight"][0]
        weight = weight / np.sqrt(weight[0].size)
        x = modulated(x, weight, style(prefix, w), demodulate=True, up=up)
        x = x + state[f"{prefix}.noise.weight"][0] * plane
        return lrelu(x + state[f"{prefix}.activate.bias"][:, None, None])

    def colours(prefix, x, w):
        weight = state[f"{prefix}.conv.weight"][0]
        made = modulated(x, weight / np.sqrt(weight[0].size), style(prefix, w), demodulate=False, up=False)
        return made + state[f"{prefix}.bias"][0]

    x = layer("conv1", state["input.input"][0], latents[0], noise[0], False)
    picture = colours("to_rgb1", x, latents[1])
    finer = sum(name.startswith("to_rgbs.") and name.endswith(".conv.weight") for name in state)
    for i in range(finer):
        x = layer(f"convs.{2 * i}", x, latents[2 * i + 1], noise[2 * i + 1], True)
        x = layer(f"convs.{2 * i + 1}", x, latents[2 * i + 2], noise[2 * i + 2], False)
        picture = doubled(picture) + colours(f"to_rgbs.{i}", x, latents[2 * i + 3])
    return picture


def nvlabs_mapping(state, z, rate):
    count = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in state)
    return mapped(z, [(state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"]) for i in range(count)], rate)


def nvlabs_picture(state, latents, clamp=np.inf):
    """Names of NVlabs' stylegan2-ada-pytorch, noise_mode const, full precision; [3, S, S]."""

    def affine(prefix, w):
        weight = state[f"{prefix}.affine.weight"]
        return weight @ w / np.sqrt(weight.shape[1]) + state[f"{prefix}.affine.bias"]

    def layer(prefix, x, w, up):
        x = modulated(x, state[f"{prefix}.weight"], affine(prefix, w), demodulate=True, up=up)
        x = x + state[f"{prefix}.noise_const"] * state[f"{prefix}.noise_strength"]
        return np.clip(lrelu(x + state[f"{prefix}.bias"][:, None, None]), -clamp * np.sqrt(2), clamp * np.sqrt(2))

    def colours(prefix, x, w):
        weight = state[f"{prefix}.weight"]
        made = modulated(x, weight, affine(prefix, w) / np.sqrt(weight[0].size), demodulate=False, up=False)
        return np.clip(made + state[f"{prefix}.bias"][:, None, None], -clamp, clamp)

    x, picture, at, side = state["synthesis.b4.const"], None, 0, 4
    while f"synthesis.b{side}.conv1.weight" in state:
        block = f"synthesis.b{side}"
        if side > 4:
            x, at = layer(f"{block}.conv0", x, latents[at], True), at + 1
        x, at = layer(f"{block}.conv1", x, latents[at], False), at + 1
        part = colours(f"{block}.torgb", x, latents[at])
        picture = part if picture is None else doubled(picture) + part
        side *= 2
    return picture


def style1_mapping(state, z):
    """rosinality/style-based-gan-pytorch: equalised by sqrt(2 / inputs), no gain after the activation."""
    w = z / np.sqrt((z**2).mean() + 1e-8)
    for i in range(1, 2 * sum(n.startswith("style.") and n.endswith("weight_orig") for n in state), 2):
        weight = state[f"style.{i}.linear.weight_orig"]
        w = lrelu(weight @ w * np.sqrt(2 / weight.shape[1]) + state[f"style.{i}.linear.bias"], gain=1)
    return w


def style1_picture(state, latents, noise, finest):
    """One StyleGAN1 picture at resolution number ``finest``; noise per layer [S, S]."""

    def equal(name, inputs):
        return state[name] * np.sqrt(2 / inputs)

    def conv(prefix, x):
        weight = state[f"{prefix}.conv.weight_orig"]
        weight = weight * np.sqrt(2 / weight[0].size)
        return same(x, weight) + state[f"{prefix}.conv.bias"][:, None, None]

    def fused(prefix, x):
        weight = state[f"{prefix}.weight"]  # [in, out, 3, 3]
        weight = weight * np.sqrt(2 / (weight.shape[0] * 9))
        wide = np.zeros((*weight.shape[:2], 4, 4))
        for y in (0, 1):
            for x_shift in (0, 1):
                wide[:, :, y : y + 3, x_shift : x_shift + 3] += weight / 4
        made = transposed(x, wide.transpose(1, 0, 2, 3))
        return made[:, 1:-1, 1:-1] + state[f"{prefix}.bias"][:, None, None]

    def up(prefix, x):
        if f"{prefix}.conv1.0.weight" in state:
            return filtered(fused(f"{prefix}.conv1.0", x), TENT, 1, 1)
        return filtered(conv(f"{prefix}.conv1.1", x.repeat(2, axis=1).repeat(2, axis=2)), TENT, 1, 1)

    def finish(prefix, number, x, w, plane):
        strength = equal(f"{prefix}.noise{number}.weight_orig", len(x))[0]
        x = lrelu(x + strength * plane, gain=1)
        weight = state[f"{prefix}.adain{number}.style.linear.weight_orig"]
        style = weight @ w * np.sqrt(2 / weight.shape[1]) + state[f"{prefix}.adain{number}.style.linear.bias"]
        gamma, beta = style[: len(x)], style[len(x) :]
        out = [
            g * (c - c.mean()) / np.sqrt(((c - c.mean()) ** 2).mean() + 1e-5) + b
            for c, g, b in zip(x, gamma, beta, strict=True)
        ]
        return np.array(out)

    for i in range(finest + 1):
        prefix = f"generator.progression.{i}"
        x = state[f"{prefix}.conv1.input"][0] if i == 0 else up(prefix, x)  # noqa: F821 - set at i == 0
        x = finish(prefix, 1, x, latents[2 * i], noise[2 * i])
        x = finish(prefix, 2, conv(f"{prefix}.conv2", x), latents[2 * i + 1], noise[2 * i + 1])
    return conv(f"generator.to_rgb.{finest}", x)
