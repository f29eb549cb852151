from __future__ import annotations

import json
import re
from pathlib import Path

from pileus.bundles.load import read_verified
from pileus.serving.pages import bundle_pages, read_pages
from pileus.store import open_store


def test_the_page_links_what_is_served_and_nothing_comes_from_elsewhere() -> None:
    pages = read_pages()
    html = pages["/"].body.decode()
    linked = set(re.findall(r'(?:src|href)="([^"]+)"', html))
    assert linked and linked <= set(pages)
    for page in pages.values():
        assert not re.search(rb"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z]+\.", page.body)


def test_every_module_is_imported_from_the_main_one_and_is_there() -> None:
    pages = read_pages()
    (main,) = (path for path in pages if path.endswith("/main.js"))
    reached, asked = {"/worker.js"}, [main]
    while asked:
        path = asked.pop()
        reached.add(path)
        imported = re.findall(r'^import .*?from "(\..+?)";$', pages[path].body.decode(), re.MULTILINE)
        asked += [found for name in imported if (found := _resolved(path, name)) not in reached]
    assert reached == {path for path in pages if path.endswith(".js")}


def test_what_the_page_is_made_of_lies_under_a_digest_and_may_be_kept_for_good() -> None:
    pages = read_pages()
    parts = [path for path in pages if path not in ("/", "/worker.js")]
    (version,) = {path.split("/")[2] for path in parts}
    assert re.fullmatch("[0-9a-f]{16}", version)
    assert {dict(pages[path].headers)[b"cache-control"] for path in parts} == {b"public, max-age=31536000, immutable"}
    assert {dict(pages[path].headers)[b"cache-control"] for path in ("/", "/worker.js")} == {b"no-cache"}
    assert all(re.fullmatch(rb'"[0-9a-f]{16}"', dict(page.headers)[b"etag"]) for page in pages.values())


def test_the_policy_forbids_what_the_page_does_not_use() -> None:
    html = read_pages()["/"].body.decode()
    policy = dict(read_pages()["/"].headers)[b"content-security-policy"]
    assert policy.startswith(b"default-src 'none'; script-src 'self'; style-src 'self';")
    assert b"unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=)|javascript:", html)
    for page in read_pages().values():
        assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", page.body)


def test_what_checks_rely_on_is_there() -> None:
    html = read_pages()["/"].body.decode()
    for name in ("canvas", "predict", "clear-canvas", "clear-predictions", "answer", "confidence", "bars", "history"):
        assert html.count(f'id="{name}"') == 1
    assert 'id="status"' in html and 'aria-live="polite"' in html and '<html lang="en">' in html


def test_a_bundle_is_lent_under_its_version_without_where_it_comes_from(bundle_folder: Path) -> None:
    manifest, files = read_verified(open_store(bundle_folder))
    pages = bundle_pages(manifest, files["model.onnx"])
    folder = f"/v1/bundles/{manifest.short_version}"
    assert set(pages) == {f"{folder}/model.json", f"{folder}/model.onnx"}
    assert pages[f"{folder}/model.onnx"].body == files["model.onnx"]
    told = json.loads(pages[f"{folder}/model.json"].body)
    assert set(told) == {"name", "version", "classes", "none", "several", "preprocessing", "calibration"}
    assert told["preprocessing"]["kind"] == "drawing" and told["version"] == manifest.short_version
    assert {dict(page.headers)[b"cache-control"] for page in pages.values()} == {
        b"private, max-age=31536000, immutable"
    }


def test_photographs_and_large_networks_are_not_lent(bundle_folder: Path, photographs_folder: Path) -> None:
    manifest, files = read_verified(open_store(photographs_folder))
    assert bundle_pages(manifest, files["model.onnx"]) == {}
    drawings, _ = read_verified(open_store(bundle_folder))
    assert bundle_pages(drawings, bytes(17 * 1024 * 1024)) == {}


def _resolved(path: str, name: str) -> str:
    folder = path.split("/")[:-1]
    for part in name.split("/"):
        if part == "..":
            folder.pop()
        elif part != ".":
            folder.append(part)
    return "/".join(folder)
