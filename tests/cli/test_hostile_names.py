"""A tip that is called like markup is text in every product."""

from __future__ import annotations

import csv
import json
from xml.etree import ElementTree

from tests.report.pages import Elements

NAME = "<img src=x onerror=alert(1)>"
TRAIT = "</script><b>mass&"


def test_a_tip_called_like_an_element_is_text_everywhere(hx, here):
    (here / "tree.nwk").write_text(f"(('{NAME}':1,B:1)ab:1,C:2);")
    with open("traits.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["name", TRAIT], [NAME, 1], ["B", 2], ["C", 3]])
    products = {
        "--out-table": "x.csv", "--out-tree": "x.xml", "--out-json": "x.json", "--plot": "x.svg", "--report": "x.html",
        "--auspice": "a.json", "--node-data": "n.json",
    }  # fmt: skip
    done = hx("ancestral", "tree.nwk", "traits.csv", *(word for pair in products.items() for word in pair))
    assert done.code == 0

    with open("x.csv", newline="") as stream:
        assert NAME in {row["node"] for row in csv.DictReader(stream)}
    tree = ElementTree.parse("x.xml")
    assert NAME in {element.text for element in tree.iter() if element.tag.endswith("name")}
    picture = ElementTree.parse("x.svg")
    texts = {"".join(element.itertext()) for element in picture.iter() if element.tag.endswith("}text")}
    assert {NAME, TRAIT} <= texts
    for document in (tree, picture):
        assert not [element for element in document.iter() if element.tag.rpartition("}")[2] in ("img", "b", "script")]

    page = Elements((here / "x.html").read_text())
    assert "img" not in page.tags
    assert {NAME, TRAIT} <= set(page.texts)
    assert page.tags.count("script") == 2
    for name in ("x.json", "a.json", "n.json"):
        text = (here / name).read_text()
        json.loads(text)
        assert json.dumps(NAME)[1:-1] in text or name == "x.json"
    assert json.loads((here / "x.json").read_text())["results"][0]["traits"][0]["name"] == TRAIT


def test_reports_of_all_analyses(hx, here):
    for command, more in (("ancestral", ()), ("mean", ()), ("posterior", ("--sigma2", "1"))):
        done = hx(command, "tree.nwk", "traits.csv", *more, "-o", command, "--report", f"{command}.html")
        assert done.code == 0
        assert {path.suffix for path in here.glob(f"{command}.*")} == {".csv", ".nex", ".json", ".html"}
        page = (here / f"{command}.html").read_text()
        assert f"tree.nwk: hx {command}" in Elements(page).texts
    done = hx("mean", "tree.nwk", "traits.csv", "--report", "x.pdf")
    assert (done.code, done.err) == (
        2,
        "hx: x.pdf: no report is written as '.pdf' (use one of .html; text also with .gz)\n",
    )
