"""docs/flow.svg against the script that draws it."""

from __future__ import annotations

import runpy
import xml.etree.ElementTree as Tree

from tests.unit.manifests.kustomize import ROOT

SOURCE = ROOT / "docs" / "flow.py"


def test_picture_is_what_its_source_draws() -> None:
    drawn = runpy.run_path(str(SOURCE))["picture"]()
    assert (ROOT / "docs" / "flow.svg").read_text(encoding="utf-8") == drawn, "run: python docs/flow.py"


def test_picture_is_xml_with_a_title_and_nothing_from_elsewhere() -> None:
    root = Tree.fromstring((ROOT / "docs" / "flow.svg").read_text(encoding="utf-8"))
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text
    assert not [node for node in root.iter() if any("href" in name for name in node.attrib)]


def test_every_box_lies_inside_the_picture_and_on_no_other_box() -> None:
    drawing = runpy.run_path(str(SOURCE))
    boxes = drawing["BOXES"]
    for n, box in enumerate(boxes):
        assert 0 <= box.x < box.x + box.width <= drawing["WIDTH"]
        assert 0 <= box.y < box.y + box.height <= drawing["HEIGHT"]
        for other in boxes[n + 1 :]:
            beside = box.x + box.width <= other.x or other.x + other.width <= box.x
            above = box.y + box.height <= other.y or other.y + other.height <= box.y
            assert beside or above, (box.title, other.title)
