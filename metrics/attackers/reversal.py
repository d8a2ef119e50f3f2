"""The attacker that undoes the anonymization: it learns to restore photographs, restores the probes, then recognises them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch

from benchmark.hashing import sha256_tensor
from benchmark.images import ImageSet, Labels
from benchmark.kept import Tensors, kept
from benchmark.learning.classifier import SCORING_BATCH, Classifier
from benchmark.learning.training import one_thread
from benchmark.protocols import Referees, Scores
from benchmark.records import MetricCard
from metrics.answers import not_applicable
from metrics.attackers.inverters import Restore, Ridge, classical, fit_ridge
from metrics.attackers.matching import Matches, same_photographs
from metrics.attackers.restoration import Restorer, fit_network
from metrics.attackers.verdict import NO_RECOGNISER, nobody_known, verdict

PAIRS = 1000
PAIRS_EACH = 20
"""Pairs per person to be found: the larger the set, the more an attacker puts into it."""
FEW_PEOPLE = 12
"""Below so many people, as many pairs as for so many."""
JUDGED_EACH = 2
"""Enrol photographs per person on which an inverter is picked."""
TUNING = 24
"""Pairs on which classical inverters are tuned."""
FINALISTS = 2
"""Classical inverters that go on to be judged by recognition."""
STEP = 16
"""Pairs per step of the network, which sees every pair once."""
SEED = 20250301


@dataclass(frozen=True, eq=False)
class Photographs:
    """What one attack is made of; everything uint8 ``[n, 3, H, W]``.

    Attributes:
        released: the attacker's own photographs, anonymized.
        clear: what they were made from.
        enrol: anonymized photographs of the people to be found, none of them among the pairs.
        who: int64 ``[n]``, who is on ``enrol``.
        probes: what is attacked.
    """

    released: torch.Tensor
    clear: torch.Tensor
    enrol: torch.Tensor
    who: torch.Tensor
    probes: torch.Tensor

    @property
    def parts(self) -> list[str]:
        """Hashes of everything."""
        return [sha256_tensor(part) for part in (self.released, self.clear, self.enrol, self.who, self.probes)]


@dataclass(frozen=True)
class Reversal:
    """Restores released photographs with the inverter that its own photographs speak for, then recognises people.

    Attributes:
        pairs: photographs with their released versions that it learns from, at most.
    """

    pairs: int = PAIRS

    @property
    def card(self) -> MetricCard:
        """What it measures."""
        return MetricCard(
            name="reversal" if self.pairs == PAIRS else f"reversal(pairs={self.pairs})",
            version=1,
            title="Risk, reversal",
            group="privacy",
            unit="share",
            higher_is_better=False,
            range=(0.0, 1.0),
            definition=(
                "Share of probes whose person the suite's recogniser names first on the restored image. The attacker "
                f"anonymizes up to {self.pairs} photographs of other people (where there are none, enrol photographs) "
                "with its own copy, learns to undo that, and takes the inverter, or none, under which the recogniser "
                "knows released enrol photographs best (mean log-probability). Inverters: the two best by PSNR of "
                "resampling, Wiener-Hunt, Richardson-Lucy and wavelet denoising; ridge regression of all pixels; a "
                "convolutional network on top of it."
            ),
            source="reconstruction attack of SEBA (arXiv 2407.06648); Fantomas (arXiv 2210.10651)",
            referees=("recogniser",),
            calibration=(
                "The same attack on originals and the top-1 under every inverter, none included, stand beside every value."
            ),
            rung="reversal",
            needs_copy=True,
        )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Top-1 over all restored images, beside the same attack on originals.

        Raises:
            EntrantFailed: the entrant broke in the attacker's hands.
            EnvironmentProblem: the recogniser was trained for other people.
        """
        name, count = self.card.name, len(original)
        if original.identity is None:
            return nobody_known(name, count)
        if referees.recogniser is None:
            return not_applicable(name, NO_RECOGNISER, count)
        if referees.photographs is None or referees.copy is None:
            reason = "it has no photographs of its own, or no copy of the anonymizer to learn from"
            return not_applicable(name, reason, count)
        recogniser = referees.recogniser.for_labels(original.identity)
        own = _own_rows(original, referees.photographs, self.pairs)
        if own is None:
            return not_applicable(name, "there are fewer than three clear photographs that are no probes", count)
        recogniser.for_labels(own.people)
        with one_thread():
            found = self._attack(own.seen(released.images, referees.copy.released), recogniser, referees)
            clear = own.seen(original.images, lambda split: own.photographs(split).images)
            clean = self._attack(clear, recogniser, referees)
        details = _details(found, original.identity.values, released.delivered)
        seen, on_originals = (Matches.of_people(part["matches"]) for part in (found, clean))
        return verdict(self.card, original, released, seen, on_originals, details)

    def _attack(self, photographs: Photographs, recogniser: Classifier, referees: Referees) -> Tensors:
        parts = [self.card.name, self.card.version, recogniser.sha256, *photographs.parts]
        return kept(referees.store, "attackers", parts, lambda: attack(photographs, recogniser, referees))


@dataclass(frozen=True, eq=False)
class _OwnRows:
    """Which photographs the attacker uses: rows of ``split`` for pairs, rows of ``enrol`` to pick an inverter."""

    photographs: Callable[[str], ImageSet]
    people: Labels
    split: str
    pairs: torch.Tensor
    judged: torch.Tensor

    def seen(self, probes: torch.Tensor, anonymized: Callable[[str], torch.Tensor]) -> Photographs:
        """The attack on probes, given what the attacker's photographs become."""
        return Photographs(
            anonymized(self.split)[self.pairs],
            self.photographs(self.split).images[self.pairs],
            anonymized("enrol")[self.judged],
            self.people.values[self.judged],
            probes,
        )


def _own_rows(original: ImageSet, photographs: Callable[[str], ImageSet], limit: int) -> _OwnRows | None:
    """Pairs from other people, or where there are none, from enrol photographs that no inverter is judged on."""
    enrol, others = photographs("enrol"), photographs("background")
    assert original.identity is not None
    people = len(original.identity.classes)
    fresh = (~same_photographs(original.images, enrol.images).any(0)).nonzero().flatten()
    fresh = fresh[_shuffled(len(fresh))]
    judged = min(JUDGED_EACH * people, len(fresh) if len(others) > 1 else len(fresh) // 3)
    count = min(limit, PAIRS_EACH * max(people, FEW_PEOPLE))
    split = "background" if len(others) > 1 else "enrol"
    pairs = _shuffled(len(others)) if len(others) > 1 else fresh[judged:]
    if judged < 1 or len(pairs) < 2 or enrol.identity is None:
        return None
    return _OwnRows(photographs, enrol.identity, split, pairs[:count], fresh[:judged])


def _shuffled(count: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(SEED))


def attack(photographs: Photographs, recogniser: Classifier, referees: Referees) -> Tensors:
    """Fits all inverters, restores with each, and picks one.

    Args:
        photographs: of the attack.
        recogniser: knows the people.
        referees: shows progress.

    Returns:
        ``matches`` (log-probabilities of the picked inverter, float32 ``[N, C]``), and by inverter ``named <inverter>``
        (int64 ``[N]``, who it finds on each probe) and ``enrol <inverter>`` (float64 ``[2]``: mean log-probability and top-1
        on enrol photographs).
    """
    recogniser = recogniser.copy()  # it would keep what it says of every restored image
    inverters = fitted(photographs.released, photographs.clear)
    enrol, probes = inverters.restored(photographs.enrol), inverters.restored(photographs.probes)
    made: Tensors = {}
    best = -torch.inf
    with referees.report("restored photographs", len(probes) * len(photographs.probes)) as progress:
        for name in _in_order(probes):
            known = recogniser.logits(enrol[name]).log_softmax(1)
            right = (known.argmax(1) == photographs.who).double().mean()
            worth = known.gather(1, photographs.who[:, None]).double().mean()
            made[f"enrol {name}"] = torch.stack([worth, right])
            matches = recogniser.logits(probes[name]).log_softmax(1)
            made[f"named {name}"] = matches.argmax(1)
            if float(worth) > best:
                best, made["matches"] = float(worth), matches.clone()
            progress(len(matches))
    return made


def _in_order(names: Iterable[str]) -> list[str]:
    """``none`` first, which wins ties; a file does not keep the order."""
    return sorted(names, key=lambda name: (name != "none", name))


@dataclass(frozen=True, eq=False)
class Inverters:
    """What an attacker learned.

    Attributes:
        classical: by name.
        linear: None where there was nothing to learn.
        network: refines what ``linear`` restores.
    """

    classical: Mapping[str, Restore] = field(default_factory=dict)
    linear: Ridge | None = None
    network: Restorer | None = None

    def restored(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Restored photographs by inverter, ``none`` first: uint8 ``[N, 3, H, W]`` to as many of the same shape."""
        parts = [self._restored(part.float() / 255) for part in images.split(SCORING_BATCH)]
        return {"none": images, **{name: torch.cat([part[name] for part in parts]) for name in parts[0]}}

    def _restored(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        made = {name: restore(images) for name, restore in self.classical.items()}
        if self.linear is not None and self.network is not None:
            made["linear"] = self.linear(images)
            made["network"] = self.network(images, made["linear"])
        return {name: (part * 255).round().clamp(0, 255).to(torch.uint8) for name, part in made.items()}


def fitted(released: torch.Tensor, clear: torch.Tensor) -> Inverters:
    """Inverters learned from pairs (uint8 ``[n, 3, H, W]``, n at least 2).

    Where the pairs are equal there is nothing to undo, and where all released photographs are one, nothing to learn.
    """
    if torch.equal(released, clear) or bool((released == released[:1]).all()):
        return Inverters()
    inputs, targets = released.float() / 255, clear.float() / 255
    linear = fit_ridge(inputs, targets)
    guess = linear.left_out.reshape(targets.shape)
    network = fit_network(inputs, guess, targets, steps=-(-len(inputs) // STEP))
    return Inverters(classical(inputs[:TUNING], targets[:TUNING], FINALISTS), linear, network)


def _details(made: Tensors, truth: torch.Tensor, delivered: torch.Tensor) -> Mapping[str, float]:
    """Top-1 on probes under every inverter, and that of the picked one on enrol photographs."""
    names = _in_order(name.removeprefix("enrol ") for name in made if name.startswith("enrol "))
    hits = {name: (made[f"named {name}"] == truth) | ~delivered for name in names}
    picked = max(names, key=lambda name: float(made[f"enrol {name}"][0]))
    top = {f"inverter {name}": float(hit.double().mean()) for name, hit in hits.items()}
    return {**top, f"picked: {picked}": float(made[f"enrol {picked}"][1])}
