"""Specs: what is written is what is read, and what cannot be read is said in one line."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Annotated

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from benchmark.errors import UsageError
from benchmark.specs import Spec, construct, expanded, parameters, parse_spec

FAMILIES = st.from_regex(r"[a-z][a-z0-9]*([-._:/][a-z0-9]+){0,2}", fullmatch=True)
NAMES = st.from_regex(r"p_[a-z0-9_]{0,6}", fullmatch=True)
WORDS = st.from_regex(r"[a-z][a-z_]{0,6}x(\+[a-z]{1,5}x){0,2}", fullmatch=True)
PLAIN = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Sample:
    """Something with parameters."""

    size: Annotated[int, Field(ge=1, le=99)] = 9
    strength: float = 0.5
    word: str = "eyes"


@dataclasses.dataclass(frozen=True)
class Needy:
    """Something that cannot do without a parameter."""

    attribute: str


@dataclass(frozen=True)
class Picky:
    """Something with rules of its own, for one parameter and for all together."""

    low: int = 1
    high: int = 2

    @field_validator("low")
    @classmethod
    def _even_or_one(cls, low: int) -> int:
        if low % 2 and low != 1:
            raise ValueError("must be even")
        return low

    @model_validator(mode="after")
    def _ordered(self) -> Picky:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class Bare:
    """Something without parameters."""


@settings(max_examples=200, deadline=None, derandomize=True)
@given(FAMILIES, st.dictionaries(NAMES, st.booleans() | st.integers() | WORDS, max_size=4))
def test_plain_specs_survive_writing_and_reading(family: str, params: dict[str, bool | int | str]) -> None:
    assert parse_spec(str(Spec(family, params))) == Spec(family, params)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(0.12345678)
@example(123456789.0)
@example(5e-324)
def test_a_number_is_written_with_all_its_digits(value: float) -> None:
    assert parse_spec(str(Spec("blur", {"sigma": value}))).params["sigma"] == value


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@example(0.12345678, 0.12345679)
def test_different_numbers_have_different_names_and_files(one: float, other: float) -> None:
    first, second = Spec("blur", {"sigma": one}), Spec("blur", {"sigma": other})
    if one != other:
        assert str(first) != str(second)
        assert first.slug != second.slug


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12))
@example("9")
@example("True")
@example("a, b=1")
@example("it's")
@example("a\\b")
def test_any_text_survives_writing_and_reading(value: str) -> None:
    assert parse_spec(str(Spec("mask", {"region": value}))).params["region"] == value


@pytest.mark.parametrize(
    ("text", "family", "params"),
    [
        ("blur", "blur", {}),
        ("blur()", "blur", {}),
        (" blur ( kernel = 9 ) ", "blur", {"kernel": 9}),
        ("blur(kernel=9,)", "blur", {"kernel": 9}),
        ("mask(region=eyes+mouth)", "mask", {"region": "eyes+mouth"}),
        ("mask(region='eyes+mouth')", "mask", {"region": "eyes+mouth"}),
        ("a(x=-1, y=2.5, z=True)", "a", {"x": -1, "y": 2.5, "z": True}),
        ("a(x=1e-3)", "a", {"x": 0.001}),
        ("dp-blur(eps=1, b=16)", "dp-blur", {"eps": 1, "b": 16}),
        ("f1(attribute=skin_tone)", "f1", {"attribute": "skin_tone"}),
        ("a(model=org.net)", "a", {"model": "org.net"}),
    ],
)
def test_what_people_write(text: str, family: str, params: dict[str, object]) -> None:
    assert parse_spec(text) == Spec(family, params)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "()",
        "blur(",
        "blur)",
        "blur(9)",
        "blur(kernel)",
        "blur(kernel=)",
        "blur(kernel=9",
        "blur(kernel=9))",
        "blur((kernel=9)",
        "blur(kernel=9, kernel=8)",
        "blur(kernel=9)(kernel=3)",
        "blur(kernel=9).x(kernel=3)",
        "blur(kernel=9) pixelate(size=3)",
        "blur(**{'kernel': 9})",
        "blur(kernel=9px)",
        "blur(kernel={[]: 1})",
        "blur(x for x in y)",
        "two words",
        "blur(kernel=\ud800)",
        "blur(kernel=" + "(" * 300 + ")" * 300 + ")",
        "blur(kernel=" + "-" * 20000 + "1)",
    ],
)
def test_bad_text_is_a_usage_error_of_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape("as in blur(kernel=9)")) as caught:
        parse_spec(text)
    assert "\n" not in str(caught.value)


def refusal(text: str) -> UsageError | None:
    """Why a text is not read; None where it is, to plain values."""
    try:
        spec = parse_spec(text)
    except UsageError as error:
        return error
    assert all(isinstance(value, bool | int | float | str) for value in spec.params.values())
    return None


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.text(max_size=30) | st.text("abx(){}[]=,.'\"*:+-#\\ 019\n\t", max_size=16).map(lambda inside: f"f({inside})"))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    assert refusal(text) is None or len(str(refusal(text)).splitlines()) == 1


def test_infinity_is_no_parameter() -> None:
    with pytest.raises(UsageError):
        parse_spec("blur(sigma=1e999)")


def test_slug_is_a_file_name() -> None:
    assert parse_spec("mask(region=eyes+mouth, size=0.5)").slug == "mask-region=eyes+mouth-size=0.5"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(FAMILIES, st.dictionaries(NAMES, PLAIN, max_size=3))
def test_slugs_have_only_harmless_characters(family: str, params: dict[str, bool | int | float | str]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9.=+_-]+", Spec(family, params).slug)


def test_construct_calls_with_the_parameters() -> None:
    assert construct(Sample, parse_spec("sample(size=3, word=mouth)")) == Sample(size=3, word="mouth")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sample(sise=3)", "has no parameter 'sise'. Did you mean 'size'?"),
        ("sample(zzz=3)", "has no parameter 'zzz'. Known: size, strength, word."),
        ("sample(size=0)", "size: Input should be greater than or equal to 1"),
        ("sample(size=100)", "size: Input should be less than or equal to 99"),
        ("sample(size=2.5)", "size: Input should be a valid integer"),
        ("sample(size=big)", "size: Input should be a valid integer"),
        ("sample(word=3)", "word: Input should be a valid string"),
        ("sample(strength=weak)", "strength: Input should be a valid number"),
    ],
)
def test_wrong_parameters_are_one_line_with_what_to_type(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        construct(Sample, parse_spec(text))
    assert str(caught.value).endswith("Try: anonbench show sample")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"), [("picky(low=3)", "low: must be even"), ("picky(low=4)", "low must not be above high")]
)
def test_the_words_of_a_rule_are_what_is_said(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        construct(Picky, parse_spec(text))
    assert str(caught.value) == f"{text}: {says}. Try: anonbench show picky"


def test_parameter_of_something_that_takes_none() -> None:
    with pytest.raises(UsageError, match=r"bare has no parameter 'x'. It takes none. Try: anonbench show bare"):
        construct(Bare, parse_spec("bare(x=1)"))


def test_missing_parameter_is_named() -> None:
    with pytest.raises(UsageError, match=r"'attribute'.*Try: anonbench show needy"):
        construct(Needy, parse_spec("needy"))


def test_expanded_holds_given_values_and_defaults() -> None:
    assert expanded(Sample, parse_spec("sample(size=3)")) == {"size": 3, "strength": 0.5, "word": "eyes"}
    assert expanded(Needy, parse_spec("needy(attribute=age)")) == {"attribute": "age"}
    assert list(parameters(Sample)) == ["size", "strength", "word"]
    assert math.isclose(float(expanded(Sample, parse_spec("sample"))["strength"]), 0.5)


def test_two_specs_never_share_a_folder() -> None:
    texts = ["a b", "a/b", "a-b", "ü", "ä", "x" * 300, "x" * 301]
    slugs = {Spec("f", {"text": text}).slug for text in texts}
    assert len(slugs) == len(texts)
    assert all(len(slug) < 120 and slug.isascii() for slug in slugs)
