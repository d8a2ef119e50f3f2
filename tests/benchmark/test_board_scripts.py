"""Somebody else's text on a board stays text: in every field there is, for a parser and in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel

from tests.benchmark.hostile import ALL, EVIL, PLAIN, board, filled, pages_of


def test_every_text_of_a_model_is_filled() -> None:
    class Inner(BaseModel):
        word: str

    class Outer(BaseModel):
        kind: Literal["a", "b"]
        inner: Inner | None = None
        many: tuple[Inner, ...] = ()
        names: dict[str, str] = {}
        either: bool | int | str = 0
        short: Annotated[str, "a remark"] = ""
        number: float

    assert filled(Outer, "x") == {
        "kind": "a", "inner": {"word": "x"}, "many": [{"word": "x"}], "names": {"x": "x"}, "either": "x", "short": "x",
        "number": 0.5,
    }  # fmt: skip


# For a parser


class Skeleton(HTMLParser):
    """Elements with the names of their attributes, addresses, and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action", "data", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def kinds(pages: dict[str, str]) -> set[str]:
    return {address.partition("/")[0] for address in pages}


KINDS = {"index.html", "entrants", "metrics", "rounds.html", "groups.html", "tuning.html", "reported.html"}


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same board with a harmless text."""
    folder = tmp_path_factory.mktemp("plain")
    board(folder, PLAIN)
    return folder / "board"


@pytest.fixture(scope="module")
def plain(harmless: Path) -> dict[str, str]:
    return pages_of(harmless)


@pytest.mark.parametrize("name", EVIL)
def test_a_text_adds_no_element_and_no_attribute(name: str, plain: dict[str, str], tmp_path: Path) -> None:
    pages = {address: Skeleton(page) for address, page in board(tmp_path, EVIL[name]).items()}
    assert kinds(plain) == KINDS
    assert sorted(page.elements for page in pages.values()) == sorted(
        Skeleton(page).elements for page in plain.values()
    )
    shown = "".join(char for char in EVIL[name] if char.isprintable())
    for address, page in pages.items():
        assert (shown if address == "reported.html" else EVIL[name]) in page.text, address
        for target in page.addresses:
            assert re.match(r"https?://|#|data:,$|(\.\./)*[\w%.-]+", target), target
            assert not re.match(r"\W*(javascript|vbscript)\W*:|data:[^,]", target, re.IGNORECASE), target


def test_the_comparison_of_skeletons_sees_what_it_must(plain: dict[str, str]) -> None:
    page = plain["index.html"]
    for name in ("script", "attribute", "single quotes", "end of data", "end of text", "plot"):
        changed = page.replace(f">{PLAIN}", f">{EVIL[name]}", 1)
        assert Skeleton(changed).elements != Skeleton(page).elements, name
    changed = page.replace(f'="{PLAIN}', f'="{EVIL["handler"]}', 1)
    assert Skeleton(changed).elements != Skeleton(page).elements


# In a browser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_a_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome in PATH")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=8000", "--dump-dom",
)  # fmt: skip
EXERCISE = """<script>
addEventListener("load", () => setTimeout(() => {
  const all = (what) => [...document.querySelectorAll(what)];
  for (const button of all("button.sort, #theme")) button.click();
  for (const box of all("input[type=checkbox]")) box.click();
  for (const select of all("select")) for (const option of select.options) {
    select.value = option.value;
    select.dispatchEvent(new Event("change"));
  }
  for (const name of ["scatter", "rounds", "tuning-1"].filter((name) => document.getElementById(`${name}-figure`))) {
    const curve = document.getElementById(name).data.findIndex((trace) => trace.hoverinfo !== "skip");
    Plotly.Fx.hover(name, [{ curveNumber: curve, pointNumber: 0 }], name === "tuning-1" ? "xy" : undefined);
  }
  for (const link of all("a")) if (link.protocol === "javascript:") link.click();
  for (const one of all("*")) one.dispatchEvent(new MouseEvent("mouseover"));
  document.documentElement.dataset.exercised = "yes";
}, 0));
</script>"""
"""Uses what a reader may use: buttons, boxes, choices, the plots' labels, links that are scripts."""


def opened(page: Path, profile: Path) -> str:
    """What a browser makes of a page, scripts included."""
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", page.as_uri()]
    found = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return found.stdout.decode()


def written(path: Path, page: str) -> Path:
    path.write_text(page, encoding="utf-8")
    return path


def unprotected(page: str) -> str:
    """The page without its content security policy, and with somebody who uses everything on it."""
    stripped, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert count == 1
    return stripped.replace("</body>", f"{EXERCISE}</body>")


def executed(dom: str) -> bool:
    return re.match(r"<!DOCTYPE html>\s*<html[^>]* id=\"executed\"", dom, re.IGNORECASE) is not None


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board whose records say everything hostile at once."""
    folder = tmp_path_factory.mktemp("evil")
    board(folder, ALL)
    return folder / "board"


SHOWN = {
    "index": ("index.html", 40),
    "flagged entrant": ("entrants/0*.html", 20),
    "ranked entrant": ("entrants/1*.html", 20),
    "failed entrant": ("entrants/3*.html", 20),
    "metric": ("metrics/script*.html", 5),
    "rounds": ("rounds.html", 5),
    "groups": ("groups.html", 5),
    "tuning": ("tuning.html", 5),
    "reported": ("reported.html", 5),
}
"""Pages by kind, and how often the hostile text is on them at least."""


def check_opened(dom: str, times: int) -> None:
    """Nothing ran, nothing was made of the text, and the text is there."""
    page = Skeleton(dom)
    assert not executed(dom)
    assert not any(tag == "x-evil" or name.startswith("on") for tag, *names in page.elements for name in names)
    assert not any(re.match(r"\W*javascript\W*:|x-evil", address, re.IGNORECASE) for address in page.addresses)
    assert page.text.count(EVIL["script"]) >= times


@in_a_browser
@pytest.mark.parametrize("kind", SHOWN)
def test_no_script_runs_in_a_browser(kind: str, evil: Path, tmp_path: Path) -> None:
    pattern, times = SHOWN[kind]
    dom = opened(next(evil.glob(pattern)), tmp_path)
    check_opened(dom, times)
    assert re.search(r'<button id="theme"[^>]*>(Dark|Light) theme', dom), "the board's own scripts ran"
    assert ("main-svg" in dom) == (kind in ("index", "rounds", "tuning")), "plots are drawn"


@in_a_browser
@pytest.mark.parametrize("kind", SHOWN)
def test_escaping_alone_holds_as_well(kind: str, evil: Path, tmp_path: Path) -> None:
    pattern, times = SHOWN[kind]
    source = next(evil.glob(pattern))
    copy = written(source.with_name("copy.html"), unprotected(source.read_text(encoding="utf-8")))
    dom = opened(copy, tmp_path)
    copy.unlink()
    check_opened(dom, times)
    assert 'data-exercised="yes"' in dom.partition(">")[2].partition(">")[0]
    if kind in ("index", "rounds", "tuning"):
        assert 'class="hovertext"' in dom


PLACES = {
    "script": "<p>{}</p>",
    "attribute": '<p title="{}">x</p>',
    "single quotes": "<p title='{}'>x</p>",
    "handler": '<p title="{}">x</p>',
    "address": '<a href="{}">x</a>',
    "end of data": '<script type="application/json">{}</script>',
}


@in_a_browser
@pytest.mark.parametrize("name", PLACES)
def test_without_escaping_the_same_texts_run(name: str, harmless: Path, plain: dict[str, str], tmp_path: Path) -> None:
    page = plain["index.html"].replace("<main ", PLACES[name].format(EVIL[name]) + "<main ", 1)
    assert executed(opened(written(harmless / "copy.html", unprotected(page)), tmp_path))


@in_a_browser
def test_the_policy_stops_what_is_not_escaped(harmless: Path, plain: dict[str, str], tmp_path: Path) -> None:
    raw = "".join(place.format(EVIL[name]) for name, place in PLACES.items())
    page = plain["index.html"].replace("<main ", f"{raw}<main ", 1)
    dom = opened(written(harmless / "copy.html", page), tmp_path)
    assert "<x-evil" in dom
    assert not executed(dom)
