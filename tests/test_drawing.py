"""Pictures of nets: what they show, in graphviz's language and as SVG, and where the boxes stand."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import caffe_fillers as cf
from caffe_fillers.cli import main
from caffe_fillers.drawing.diagram import diagram

NET = """name: "the \\"net\\""
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } data_param { batch_size: 64 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST } data_param { batch_size: 100 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_h: 3 kernel_w: 5 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 3 pad: 1 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 10 } }
layer { name: "a<b&c" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture(autouse=True)
def _no_graphviz(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.fixture
def prototxt(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def test_boxes_and_arrows(prototxt):
    result = diagram(prototxt, lr_mult=True)
    assert [box.lines for box in result.boxes.values() if not box.blob] == [
        ("data", "(Data)"),
        ("data", "(Data)"),
        ("conv", "(Convolution)", "kernel size: 3x5", "stride: 2", "pad: 0", "lr mult: 2.0, 1.0"),
        ("relu", "(ReLU)"),
        ("pool", "(Pooling AVE)", "kernel size: 3", "stride: 1", "pad: 1"),
        ("ip", "(InnerProduct)", "lr mult: 1.0, 1.0"),
        ("a<b&c", "(SoftmaxWithLoss)"),
    ]
    assert [box.lines[0] for box in result.boxes.values() if box.blob] == [
        "data",
        "label",
        "conv",
        "pool",
        "ip",
        "loss",
    ]
    assert ("data_Data", "data_blob", "Batch 64") in result.arrows
    assert ("data_Data'", "data_blob", "Batch 100") in result.arrows
    assert ("conv_Convolution", "conv_blob", "20") in result.arrows
    assert {("conv_blob", "relu_ReLU", ""), ("relu_ReLU", "conv_blob", "")} < set(result.arrows)
    assert result.boxes["relu_ReLU"].color != result.boxes["ip_InnerProduct"].color != result.boxes["conv_blob"].color
    only = diagram(prototxt, phase="TEST")
    assert [arrow[2] for arrow in only.arrows if arrow[0].startswith("data_Data")] == ["Batch 100"] * 2


def test_dot(prototxt, tmp_path):
    cf.draw(prototxt, tmp_path / "net.dot", rankdir="LR")
    text = (tmp_path / "net.dot").read_text()
    assert text.startswith('digraph "the \\"net\\"" {\n  rankdir=LR;\n')
    assert '"relu_ReLU" [label="relu\\n(ReLU)", shape=box, fillcolor="#90EE90"];' in text
    assert '"pool_blob" -> "ip_InnerProduct";' in text
    assert '"ip_InnerProduct" -> "ip_blob" [label="10"];' in text
    cf.draw(prototxt, tmp_path / "net.dot")
    assert "relu (ReLU)" in (tmp_path / "net.dot").read_text()


def boxes(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """Each box by its first line: left, top, right, bottom."""
    root = ElementTree.fromstring(svg)
    shapes = root.findall("{*}rect")[1:]
    texts = [text for text in root.findall("{*}text") if text.get("text-anchor") == "middle"]
    found = {}
    for rect in shapes:
        x, y, w, h = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        inside = [t for t in texts if x <= float(t.get("x")) <= x + w and y <= float(t.get("y")) <= y + h]
        found[" ".join(t.text for t in inside)] = (x, y, x + w, y + h)
    return found


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
def test_svg_stands_in_ranks_and_nothing_overlaps(prototxt, tmp_path, rankdir):
    cf.draw(prototxt, tmp_path / "net.svg", rankdir=rankdir, phase="TRAIN")
    svg = (tmp_path / "net.svg").read_text()
    found = boxes(svg)
    assert len(found) == 6 + 6
    for a in found.values():
        for b in found.values():
            assert a is b or a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
    width, height = (float(re.search(f'{name}="(\\d+)"', svg)[1]) for name in ("width", "height"))
    assert all(x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height for x0, y0, x1, y1 in found.values())
    path_boxes = [
        next(box for name, box in found.items() if name.startswith(f"{n} (")) for n in ("data", "conv", "pool", "ip")
    ]
    axis = 0 if rankdir in ("LR", "RL") else 1
    places = [box[axis] for box in path_boxes]
    assert places == sorted(places, reverse=rankdir in ("BT", "RL"))
    assert "a&lt;b&amp;c" in svg
    assert svg.count("marker-end") == len(diagram(prototxt, phase="TRAIN").arrows)


def test_nets_messages_and_old_forms(tmp_path):
    old = tmp_path / "old.prototxt"
    old.write_text(
        'layers { name: "fc" type: INNER_PRODUCT bottom: "x" top: "y" inner_product_param { num_output: 3 } }'
    )
    for net in (old, cf.read_net(old), cf.upgrade(cf.read_net(old))):
        assert diagram(net).arrows == [("x_blob", "fc_InnerProduct", ""), ("fc_InnerProduct", "y_blob", "3")]
    net = cf.Net(Path(__file__).parents[1] / "examples" / "mnist" / "lenet.prototxt", "TEST", fill=False)
    assert diagram(net).name == "LeNet"


def test_an_empty_net(tmp_path):
    path = tmp_path / "empty.prototxt"
    path.write_text("")
    with pytest.warns(cf.CaffeWarning, match="no layer to draw"):
        cf.draw(path, tmp_path / "empty.svg")
    assert (tmp_path / "empty.svg").read_text().startswith("<svg")


def test_graphviz_is_used_where_it_is_there(prototxt, tmp_path, monkeypatch):
    with pytest.raises(cf.CaffeError, match=r"install graphviz, or draw .svg or .dot"):
        cf.draw(prototxt, tmp_path / "net.png")
    assert not (tmp_path / "net.png").exists()
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\nread first\necho "$1 $first"\n')
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    cf.draw(prototxt, tmp_path / "net.png")
    assert (tmp_path / "net.png").read_text() == '-Tpng digraph "the "net"" {\n'
    program.write_text("#!/bin/sh\ncat > /dev/null\necho no >&2\nexit 3\n")
    with pytest.raises(cf.CaffeError, match="graphviz: no"):
        cf.draw(prototxt, tmp_path / "net.svg")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"rankdir": "UP"}, "rankdir is one of"), ({"phase": "NONE"}, "phase is"), ({"path": "x.txt"}, "names no format")],
)
def test_wrong_options(prototxt, tmp_path, options, said):
    with pytest.raises(cf.CaffeError, match=said):
        cf.draw(prototxt, tmp_path / options.pop("path", "x.svg"), **options)


def test_command(prototxt, tmp_path):
    runner = CliRunner()
    done = runner.invoke(main, ["draw", str(prototxt), "-o", str(tmp_path / "n.svg"), "--phase", "TEST", "--lr-mult"])
    assert (done.exit_code, done.output) == (0, f"wrote {tmp_path / 'n.svg'}\n")
    assert "lr mult" in (tmp_path / "n.svg").read_text()
    done = runner.invoke(main, ["draw", str(prototxt), "-o", str(tmp_path / "n.dot"), "--json"])
    assert json.loads(done.output) == {"net": str(prototxt), "output": str(tmp_path / "n.dot")}
    assert runner.invoke(main, ["draw", str(prototxt), "-o", str(tmp_path / "n.xyz")]).exit_code == 1
