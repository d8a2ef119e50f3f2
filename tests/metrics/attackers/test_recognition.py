"""The attackers that are classifiers of the people, with planted networks whose answer stands in the image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.errors import EnvironmentProblem
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.protocols import Metric, Referees
from metrics.attackers.matching import logit_matches
from metrics.attackers.recognition import Static, Transfer

PEOPLE = tuple(f"person {number}" for number in range(6))
TRUTH = [person for person in range(6) for _ in range(3)]


class Reader(nn.Module):
    """Names class ``k`` where the top left value of one channel is nearest to ``10 k``."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.channel = channel
        self.levels = nn.Parameter(torch.arange(6) * 10 / 255, requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return -(images[:, self.channel, 0, :1] - self.levels).abs()


def reader(channel: int, classes: tuple[str, ...] = PEOPLE) -> Classifier:
    return Classifier("planted", Architecture("planted", classes), Reader(channel), sha256=str(channel))


def pictures(red: list[int], green: list[int]) -> ImageSet:
    images = torch.zeros(18, 3, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = (torch.tensor(part, dtype=torch.uint8) * 10 for part in (red, green))
    return ImageSet(images, tuple(f"probe {row}" for row in range(18)), Labels(torch.tensor(TRUTH), PEOPLE))


REFEREES = Referees(reader(0), attackers={"transfer": reader(1)})
ATTACKERS = pytest.mark.parametrize("attacker", [Static(), Transfer()], ids=["static", "transfer"])


def test_each_asks_its_own_network() -> None:
    original, released = pictures(TRUTH, TRUTH), pictures([0] * 18, TRUTH)
    static, transfer = (attacker.score(original, released, REFEREES).score for attacker in (Static(), Transfer()))
    assert (static.value, transfer.value) == (1 / 6, 1)
    assert static.anchors == transfer.anchors == {"chance": 1 / 6, "originals": 1}
    assert static.details["mAP"] == pytest.approx(sum(1 / place for place in range(1, 7)) / 6)


@ATTACKERS
def test_card(attacker: Metric) -> None:
    card = attacker.card
    assert card.rung == card.name
    assert not card.needs_copy
    assert card.version == (2 if card.name == "static" else 1)


@ATTACKERS
def test_missing_images_count_as_identified(attacker: Metric) -> None:
    original, gone = pictures(TRUTH, TRUTH), torch.arange(18) < 6
    black = pictures([0] * 18, [0] * 18)
    released = ImageSet(black.images, black.keys, black.identity, missing=gone)
    assert attacker.score(original, released, REFEREES).score.value == pytest.approx(6 / 18)  # nobody else is person 0


@ATTACKERS
@pytest.mark.parametrize("known", ["people", "networks"])
def test_without_people_or_network_it_is_not_applicable(attacker: Metric, known: str) -> None:
    original = pictures(TRUTH, TRUTH).without(identity=known != "people")
    score = attacker.score(original, original, REFEREES if known == "networks" else Referees()).score
    assert (score.metric, score.status, score.value, score.n) == (attacker.card.name, "not-applicable", None, 18)
    assert score.reason


@ATTACKERS
def test_a_network_for_other_people_is_an_error(attacker: Metric) -> None:
    strangers = tuple(f"stranger {number}" for number in range(6))
    original = pictures(TRUTH, TRUTH)
    referees = Referees(reader(0, strangers), attackers={"transfer": reader(1, strangers)})
    with pytest.raises(EnvironmentProblem, match="classes that are not"):
        attacker.score(original, original, referees)


def test_logits_match_one_entry_per_person_with_log_probabilities() -> None:
    images = pictures(TRUTH, TRUTH).images
    matches = logit_matches(reader(0), images)
    assert matches.owner.tolist() == list(range(6))
    assert matches.similarity.argmax(1).tolist() == TRUTH
    assert torch.allclose(matches.similarity.exp().sum(1), torch.ones(18))
