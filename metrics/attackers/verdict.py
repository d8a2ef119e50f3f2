"""From an attacker's matches to its score: closed-set and open-set numbers beside those on originals."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import torch

from benchmark.images import ImageSet
from benchmark.protocols import Scores
from benchmark.records import BELOW_CHANCE, TOO_WEAK, MetricCard, Score
from benchmark.statistics import mean_scores
from metrics.answers import not_applicable
from metrics.attackers.closed_set import average_precision, person_similarity, standing
from metrics.attackers.matching import Matches, checked
from metrics.attackers.verification import FARS, PairTable, auc, d_sys, d_sys_floor, eer, held_out_tar

FLOOR = 0.5
"""What an attacker must find on originals, as a share of what there is to find above chance, for its failure on released
images to mean anything: an attacker that misses every other clear photograph says little about anonymization."""
RANKS = (5, 10)
ROUNDING = 1e-9
NO_RECOGNISER = "the suite has no recogniser of the evaluated people"


def verdict(
    card: MetricCard,
    original: ImageSet,
    released: ImageSet,
    found: Matches,
    clean: Matches,
    details: Mapping[str, float] | None = None,
) -> Scores:
    """Scores an attacker.

    Ties count as if broken at random. A missing image counts as identified, an undetected one as a guess, a probe whose
    person is not in the gallery as not found.

    Args:
        card: of the attacker.
        original: the probes, with identities.
        released: what was released of them; missing images count as identified.
        found: the attacker's matches on released images.
        clean: the same attacker's matches on the original probes.
        details: further numbers to show.

    Returns:
        Closed-set top-1 with anchors ``chance`` (of who finds everybody equally alike) and ``originals``; in its details
        ``rank-5``, ``rank-10``, ``mAP``, ``EER``, ``AUC``, both ``on originals``, ``TAR@FAR=...`` (or a reason in
        ``refused``), ``D_sys`` and ``D_sys floor``, and how many probes were ``undetected`` or ``missing``, if any were.

    Raises:
        ValueError: the originals name nobody, or matches do not fit them, or similarities are NaN or +inf.
    """
    if original.identity is None:
        raise ValueError(
            f"{card.name}: the originals name no identities; return nobody_known(...) instead of a verdict"
        )
    truth, people = original.identity.values, len(original.identity.classes)
    found, clean = checked(found, truth), checked(clean, truth)
    missing = ~released.delivered
    closed = _closed_set(found, truth, missing, people)
    alike = person_similarity(clean, people)
    even = standing(torch.where(alike == -torch.inf, alike, 0.0), truth)
    anchors = {
        "chance": fmean(even.credit(1).tolist()),
        "originals": float(standing(alike, truth).credit(1).mean()),
    }
    pairs, refused = _verification(found, clean, truth, missing)
    hit = closed.pop("rank-1")
    means = {name: float(credit.mean()) for name, credit in closed.items()}
    scores = mean_scores(
        card.name,
        hit,
        original,
        anchors=anchors,
        details={**means, **pairs, **_absent(found, missing), **(details or {})},
        refused=refused,
    )
    score = _to_chance(scores.score)
    least = min(anchors["chance"], _unrelated(person_similarity(found, people), truth))
    flags = _flags(score, float(even.credit(people).mean()), least)
    return Scores(score.model_copy(update={"flags": flags}), scores.per_image)


def nobody_known(metric: str, n: int) -> Scores:
    """The score of an attacker on ``n`` images that show nobody known."""
    return not_applicable(metric, "the data name no identities, so nobody can be re-identified", n)


def _closed_set(found: Matches, truth: torch.Tensor, missing: torch.Tensor, people: int) -> dict[str, torch.Tensor]:
    """Credit per probe by name of the number, float64 ``[N]``."""
    place = standing(person_similarity(found, people), truth)
    candidates = len(found.owner.unique())
    credits = {f"rank-{k}": place.credit(k) for k in (1, *RANKS) if k == 1 or candidates > k}
    credits["mAP"] = average_precision(found, truth)
    return {name: credit.masked_fill(missing, 1.0) for name, credit in credits.items()}


def _verification(
    found: Matches, clean: Matches, truth: torch.Tensor, missing: torch.Tensor
) -> tuple[dict[str, float], dict[str, str]]:
    """Open-set numbers by name, and why others are refused."""
    released, originals = PairTable.of(found, truth, missing), PairTable.of(clean, truth)
    parts = {"": released.pairs, " on originals": originals.pairs}
    numbers = {f"{name}{of}": f(p) for of, p in parts.items() if p for name, f in (("EER", eer), ("AUC", auc))}
    if not released.pairs:
        reason = "no pairs of one person, or none of two, can be compared"
        return numbers, dict.fromkeys(("EER", "AUC", "D_sys", *map(_tar, FARS)), reason)
    linked = {"D_sys": d_sys(released.pairs), "D_sys floor": d_sys_floor(released.pairs)}
    accepted = held_out_tar(released, originals, truth, clean.owner)
    tar = {_tar(far): value for far, value in accepted.tar.items()}
    return {**numbers, **tar, **linked}, {_tar(far): reason for far, reason in accepted.refused.items()}


def _tar(far: float) -> str:
    return f"TAR@FAR={far:g}"


def _absent(found: Matches, missing: torch.Tensor) -> dict[str, float]:
    counts = {"undetected": int((~found.detected & ~missing).sum()), "missing": int(missing.sum())}
    return {name: float(count) for name, count in counts.items() if count}


def _to_chance(score: Score) -> Score:
    """The score with ends of its interval that miss chance by rounding alone put on it: they are compared with it."""
    interval, chance = score.interval, score.anchors["chance"]
    if interval is None:
        return score
    ends = {"low": interval.low, "high": interval.high}
    moved = {name: chance for name, end in ends.items() if abs(end - chance) < ROUNDING}
    return score.model_copy(update={"interval": interval.model_copy(update=moved)})


def _unrelated(similarity: torch.Tensor, truth: torch.Tensor) -> float:
    """Top-1 of these very answers if they had nothing to do with the probes.

    Who always names one person who has few photographs does worse than chance and is not wrong for it.
    """
    people = similarity.shape[1]
    answers, probes = (torch.bincount(part, minlength=people).double() for part in (similarity.argmax(1), truth))
    return float((answers / answers.sum()) @ (probes / probes.sum()))


def _flags(score: Score, findable: float, least: float) -> dict[str, str]:
    """What keeps the score from being ranked by: an attacker that is too weak, or worse than guessing.

    Args:
        score: of the attacker.
        findable: share of the probes whose person can be compared at all.
        least: top-1 that answers without any knowledge reach.
    """
    chance, originals = score.anchors["chance"], score.anchors["originals"]
    found = {}
    if originals - chance < FLOOR * (findable - chance) or findable - chance < ROUNDING:
        found[TOO_WEAK] = (
            f"It names {originals:.1%} of the originals where guessing names {chance:.1%}: less than {FLOOR:.0%} of what "
            "there is to find, so its failure on released images says nothing."
        )
    if score.interval is not None and score.interval.high < least - ROUNDING:
        found[BELOW_CHANCE] = (
            f"It names at most {score.interval.high:.1%} where guessing names {least:.1%}: the attack, or the labels, "
            "must be wrong."
        )
    return found
