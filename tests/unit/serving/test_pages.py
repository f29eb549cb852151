from __future__ import annotations

import re

from pileus.serving.pages import read_pages


def test_every_asset_of_the_page_is_there_and_nothing_comes_from_elsewhere() -> None:
    pages = read_pages()
    html = pages["/"].body.decode()
    linked = set(re.findall(r'(?:src|href)="([^"]+)"', html))
    assert linked == set(pages) - {"/"}
    for page in pages.values():
        assert not re.search(rb"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z]+\.", page.body)


def test_the_policy_forbids_what_the_page_does_not_use() -> None:
    html = read_pages()["/"].body.decode()
    policy = dict(read_pages()["/"].headers)[b"content-security-policy"]
    assert policy.startswith(b"default-src 'none'; script-src 'self'; style-src 'self';")
    assert b"unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=)|javascript:", html)


def test_what_checks_rely_on_is_there() -> None:
    html = read_pages()["/"].body.decode()
    for name in ("canvas", "predict", "clear-canvas", "clear-predictions", "answer", "confidence", "bars", "history"):
        assert html.count(f'id="{name}"') == 1
    assert 'id="status"' in html and 'aria-live="polite"' in html and '<html lang="en">' in html
