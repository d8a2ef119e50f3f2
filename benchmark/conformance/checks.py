"""The checks. Each takes the kit with its plain outcome and returns what it found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from benchmark.conformance import pictures
from benchmark.conformance.calling import Caller, Outcome, published, relabelled, same
from benchmark.conformance.examination import Finding, Verdict
from benchmark.images import ImageSet
from benchmark.protocols import USES

HOW = {"refused": "it refuses:", "crashed": "it stops with", "broken": "it breaks the protocol:"}
UNREPEATABLE = "not checked: two releases of the same images differ"


@dataclass
class Kit:
    """An entrant with the outcome of the first call, to which the others are compared.

    Attributes:
        caller: calls the entrant.
        base: what came of the plain faces.
    """

    caller: Caller
    base: Outcome

    @property
    def given(self) -> ImageSet:
        """The plain faces as the entrant sees them."""
        return self.base.given

    @cached_property
    def again(self) -> Outcome:
        """The plain faces once more, by a fresh instance, one image per batch."""
        return self.caller.call(self.given, batch_size=1, fresh=True)

    @cached_property
    def repeats(self) -> bool:
        """Whether a fresh instance releases the same images under the same seed, given the same batches."""
        return same(self.base, self.again) or same(self.base, self.caller.call(self.given, fresh=True))

    @property
    def steady(self) -> bool:
        """Whether the release depends neither on chance nor on batches, so that calls can be compared."""
        return same(self.base, self.again)


def trouble(outcome: Outcome) -> str:
    """What was wrong with a call, in words."""
    return f"{HOW[outcome.trouble]} {outcome.text}"


def severity(kit: Kit, outcome: Outcome, excusable: bool = False) -> Verdict:
    """A refusal in words is a note. A command has no words for it: its errors count, unless they are excusable."""
    command = kit.caller.entrant.facts.kind == "process"
    return "note" if outcome.trouble == "refused" and (excusable or not command) else "fail"


def repeatable(kit: Kit) -> Iterator[Finding]:
    """Whether seed and images decide the release."""
    if kit.again.trouble:
        yield Finding("batches", severity(kit, kit.again), f"one image per batch: {trouble(kit.again)}")
    elif not kit.caller.entrant.facts.deterministic:
        yield Finding("determinism", "note", "it says that its releases differ from run to run; nothing was compared")
    elif not kit.repeats:
        text = "one seed gives two releases; draw from benchmark.seeding, or say deterministic = False"
        yield Finding("determinism", "fail", text)
        yield Finding("batches", "note", UNREPEATABLE)
    else:
        yield Finding("determinism", "pass", "a fresh instance releases the same images under the same seed")
        yield _batches(kit)


def _batches(kit: Kit) -> Finding:
    if kit.steady:
        return Finding("batches", "pass", "batches of 1 and 64 give the same images")
    return Finding("batches", "fail", "batches of 1 and 64 give other images; the release may not depend on batch_size")


def order(kit: Kit) -> Iterator[Finding]:
    """Whether every released image stands where its original stood, however the set is cut and ordered."""
    shardable = kit.caller.entrant.shardable
    if not kit.steady:
        yield Finding("order", "note", UNREPEATABLE)
        return
    moved = kit.given.select(pictures.shuffled(len(kit.given)))
    outcome = kit.caller.call(moved[: len(moved) // 2] if shardable else moved)
    if shardable and not same(kit.base, outcome):
        whole = kit.caller.call(moved)
        yield from _apart(kit, whole, outcome)
    elif outcome.trouble:
        yield Finding("order", severity(kit, outcome), f"the same images in another order: {trouble(outcome)}")
    elif not same(kit.base, outcome):
        text = "the release depends on the order of the set; it is not cut into parts, so nothing is wrong"
        yield Finding("order", "note", text)
    else:
        yield Finding("order", "pass", "another order of the images gives the same images in that order")
        if shardable:
            yield Finding("parts", "pass", "half of the set gives the same images as the whole")


def _apart(kit: Kit, whole: Outcome, part: Outcome) -> Iterator[Finding]:
    """Which of the two is to blame where half of the set in another order was released differently."""
    if whole.trouble:
        yield Finding("order", severity(kit, whole), f"the same images in another order: {trouble(whole)}")
    elif not same(kit.base, whole):
        text = "images in another order are released differently; the n-th released image belongs to the n-th original"
        yield Finding("order", "fail", text)
    elif part.trouble:
        yield Finding("parts", severity(kit, part), f"half of the set: {trouble(part)}")
    else:
        text = "half of the set gives other images than the whole; treat each image by itself, or say shardable = False"
        yield Finding("parts", "fail", text)


def single(kit: Kit) -> Iterator[Finding]:
    """Whether it copes with one image alone."""
    outcome = kit.caller.call(kit.given[:1])
    if outcome.trouble:
        yield Finding("single image", severity(kit, outcome), trouble(outcome))
    else:
        yield Finding("single image", "pass", "one image in, one image out")


def sizes(kit: Kit) -> Iterator[Finding]:
    """Whether it copes with tiny and odd sizes; suites go down to 16 pixels."""
    people = kit.caller.people // 2  # still as many as any claim of k-anonymity needs
    for height, width in pictures.SIZES:
        faces = pictures.faces(people, (height, width), photographs=1)
        outcome = kit.caller.call(kit.caller.hand(faces), known=faces)
        check = f"size {height} x {width}"
        if outcome.trouble:
            yield Finding(check, severity(kit, outcome, excusable=True), trouble(outcome))
        else:
            yield Finding(check, "pass", f"{len(faces)} images released{_lost(outcome)}")


def contents(kit: Kit) -> Iterator[Finding]:
    """Whether it copes with pictures that are not one coloured face; all at once, and one by one if that fails."""
    people = kit.caller.people
    kinds = pictures.unusual(people)
    whole = pictures.joined(list(kinds.values()))
    outcome = kit.caller.call(kit.caller.hand(whole), known=whole)
    if not outcome.trouble:
        gone = _lost_by_key(outcome)
        for kind, part in kinds.items():
            lost = sum(key in gone for key in kit.caller.hand(part).keys)
            text = f"released{f'; missing: {lost} of {len(part)}' if lost else ''}"
            yield Finding(kind, "note" if lost else "pass", text)
        return
    alone = {kind: kit.caller.call(kit.caller.hand(part), known=part) for kind, part in kinds.items()}
    yield from (_content(kit, kind, part) for kind, part in alone.items())
    if not any(part.trouble for part in alone.values()):
        yield Finding("mixed pictures", severity(kit, outcome), f"all kinds together: {trouble(outcome)}")


def _content(kit: Kit, kind: str, outcome: Outcome) -> Finding:
    if outcome.trouble:
        return Finding(kind, severity(kit, outcome), trouble(outcome))
    return Finding(kind, "pass", f"released{_lost(outcome)}")


def _lost_by_key(outcome: Outcome) -> set[str]:
    if outcome.released is None or outcome.released.missing is None:
        return set()
    return {key for key, gone in zip(outcome.given.keys, outcome.released.missing.tolist(), strict=True) if gone}


def _lost(outcome: Outcome) -> str:
    lost = len(_lost_by_key(outcome))
    return f"; missing: {lost} of {len(outcome.given)}" if lost else ""


def uses(kit: Kit) -> Iterator[Finding]:
    """Whether it depends on what it declares. That it gets along with nothing else, the other calls showed."""
    declared = sorted(kit.caller.entrant.uses)
    if not declared:
        yield Finding("uses", "pass", "it declares nothing and got along with nothing")
    elif not kit.steady:
        yield Finding("uses", "note", UNREPEATABLE)
    else:
        yield from (_use(kit, name) for name in declared)


def _use(kit: Kit, name: str) -> Finding:
    if name in ("train", "recogniser"):
        outcome = kit.caller.call(kit.given, fresh=True, replaced=name)
    else:
        outcome = kit.caller.call(kit.caller.hand(relabelled(kit.caller.plain, name)))
    if outcome.trouble or not same(kit.base, outcome):
        return Finding(f"uses {name}", "pass", "another one gives another release")
    text = (
        f"it declares {name}, but its release of the drawn faces does not depend on it; do not declare what is not used"
    )
    return Finding(f"uses {name}", "note", text)


def undeclared(caller: Caller) -> tuple[str, ...]:
    """What an entrant that failed on plain faces must have been looking for: uses with which it works."""
    declared = caller.entrant.uses
    if caller.entrant.facts.kind == "process":  # it is never handed labels
        return ()
    for extra in [(name,) for name in sorted(USES - declared)] + [tuple(sorted(USES - declared))]:
        given = declared | set(extra)
        if extra and not caller.call(caller.hand(caller.plain, given), fresh=True, uses=given).trouble:
            return extra
    return ()


def claim(kit: Kit) -> Iterator[Finding]:
    """Whether a claim of k-anonymity comes with groups, and these with k people."""
    k, released, who = kit.caller.entrant.facts.k_anonymity, kit.base.released, kit.caller.plain.identity
    if k is None or released is None or who is None:
        return
    group, count = released.notes.get("group"), len(kit.given)
    if not isinstance(group, torch.Tensor) or group.is_floating_point() or group.shape != (count,):
        text = f"it claims {k}-anonymity and publishes no groups; add the note 'group', int64 [{count}]"
        yield Finding("k-anonymity", "fail", text)
        return
    seen = kit.caller.hand(kit.caller.plain, kit.caller.entrant.uses | {"identity"}).identity
    assert seen is not None
    people = {int(number): len(seen.values[group == number].unique()) for number in group.unique()}
    least = min(people.values())
    verdict: Verdict = "pass" if least >= k else "fail"
    yield Finding(
        "k-anonymity", verdict, f"it claims {k} people per group; {len(people)} groups, the smallest has {least}"
    )


def effect(kit: Kit) -> Iterator[Finding]:
    """Whether the release is one at all."""
    released, given = kit.base.released, kit.given.images
    if released is None:
        return
    pixels = published(released)
    untouched = int((pixels == given).flatten(1).all(1).sum())
    flat = int((pixels.flatten(2).amax(2) == pixels.flatten(2).amin(2)).all(1).sum())
    lost, count = len(_lost_by_key(kit.base)), len(given)
    if lost == count:
        yield Finding("effect", "fail", f"it delivers none of {count} plain faces")
        return
    if lost:
        yield Finding(
            "missing", "note", f"{lost} of {count} plain faces are missing; they count as identified and worthless"
        )
    if untouched:
        text = (
            f"{untouched} of {count} plain faces are released unchanged (if it looks for faces: these are drawn ones)"
        )
        yield Finding("effect", "note", text)
    elif flat - lost:
        yield Finding("effect", "note", f"{flat - lost} of {count} plain faces are released as one colour")
    else:
        yield Finding("effect", "pass", "every plain face is released, changed, and not as one colour")
