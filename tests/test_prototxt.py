"""The text reader against C++ protobuf 3.21 (recorded), protobuf's Python reader (live) and files from the wild.

``text_edges.json`` holds short texts with what the C++ reader of protobuf 3.21.12 made of them: the serialized
message, or line, column and text of its first error. ``text_corpus.tsv`` holds the class of every file of the corpus.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import random
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.internal import api_implementation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import caffe_fillers as cf
from caffe_fillers import CaffeError, CaffeWarning, prototxt, schema
from caffe_fillers.carried import serialized
from caffe_fillers.encoding import as_bytes
from caffe_fillers.sources import is_solver

HERE = Path(__file__).parent
EDGES = json.loads((HERE / "text_edges.json").read_text())
CLASSES = list(csv.DictReader((HERE / "text_corpus.tsv").read_text().splitlines(), delimiter="\t"))
NETS = [json.loads(path.read_text()) for path in sorted((HERE / "golden" / "nets").glob("*.json"))]


def read(text: bytes | str, message: str, strict: bool = True) -> prototxt.Text:
    return prototxt.parse(text, getattr(schema, message), name="F", strict=strict)


def refusal(text: bytes | str, message: str = "NetParameter", strict: bool = True) -> str:
    with pytest.raises(CaffeError) as caught:
        read(text, message, strict)
    return str(caught.value)


def root_of(net: dict[str, Any]) -> str:
    return "SolverParameter" if net["kind"] == "solver" else "NetParameter"


# ---- strict reading, as C++ does


def not_utf8(case: dict[str, Any]) -> bool:
    """Return whether a case sets a string, the first field of FillerParameter, to bytes that are not UTF-8."""
    value = bytes.fromhex(case.get("bytes", ""))[2:]
    return case["text"].startswith("type: ") and value.decode("utf-8", "ignore").encode() != value


@pytest.mark.parametrize("case", EDGES, ids=lambda case: repr(case["text"])[:60])
def test_edges_of_the_format_as_in_cpp(case: dict[str, Any]) -> None:
    text = case["text"].encode("latin-1")
    if "error" in case:
        first = refusal(text, case["message"]).splitlines()[0]
        place = f"F:{case['line']}:{case['column']}" if case["line"] else "F:"
        assert first.startswith(place)
        assert first.endswith(f": {case['error']}")
    elif not_utf8(case):
        # C++ keeps the bytes as they are, and so do we, although Python's messages hold UTF-8 only
        message = read(text, case["message"]).message
        assert as_bytes(message.type) == bytes.fromhex(case["bytes"])[2:]
        assert serialized(message) == bytes.fromhex(case["bytes"])
        assert read(as_bytes(prototxt.format_text(message)), case["message"]).message == message
    elif "-nan" in case["text"] and api_implementation.Type() == "python":
        pytest.skip("the pure Python protobuf drops the sign of NaN")
    else:
        expected = getattr(schema, case["message"]).FromString(bytes.fromhex(case["bytes"]))
        message = read(text, case["message"]).message
        assert message.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)


def recorded_error(net: dict[str, Any]) -> tuple[str, str]:
    """Return which message of a golden C++ could not read, and what it said: 'LINE:COLUMN: text'."""
    for result in net["results"].values():
        if isinstance(result, dict) and "protobuf_message" in result:
            message, _, what = result["protobuf_message"].partition("caffe.")[2].partition(": ")
            return message, what.splitlines()[0]
    return "", ""


def check_golden(net: dict[str, Any], text: bytes, message: str) -> bool:
    expected, what = recorded_error(net)
    if expected == message:
        assert refusal(text, message).splitlines()[0] == f"F:{what}"
        return True
    read(text, message)
    return False


OWN = [net for net in NETS if "prototxt" in net]


@pytest.mark.parametrize("net", OWN, ids=lambda net: net["name"])
def test_golden_nets(net: dict[str, Any], golden: Path) -> None:
    check_golden(net, (golden / "nets" / net["prototxt"]).read_bytes(), root_of(net))


def test_golden_nets_of_the_corpus(corpus: Path) -> None:
    refused = 0
    for net in NETS:
        if "prototxt" in net:
            continue
        file = net.get("corpus_file")
        path = corpus / "files" / file if file else corpus / "caffe" / net["origin"].partition("master ")[2]
        refused += check_golden(net, path.read_bytes(), root_of(net))
        for inner in net.get("solver_nets", []) if recorded_error(net)[0] == "NetParameter" else []:
            refused += check_golden(net, (corpus / "files" / inner["corpus_file"]).read_bytes(), "NetParameter")
    assert refused == 175


@pytest.mark.parametrize("name", ["fillers.json", "fillers_legacy.json"])
def test_golden_fillers(name: str, golden: Path) -> None:
    for case in json.loads((golden / name).read_text())["cases"]:
        results = case.get("results") or next(iter(case["results_by_caffe_revision"].values()))
        failed = {
            r["failed_item"]
            for r in results.values()
            if isinstance(r, dict) and str(r.get("error")).startswith("text parse error")
        }
        for index, item in enumerate(case["items"]):
            if index in failed:
                refusal(item["filler"], "FillerParameter")
            else:
                read(item["filler"], "FillerParameter")


@pytest.mark.slow
def test_corpus_classes(corpus: Path) -> None:
    """Every file reads, or is refused, where it was when the table was made."""
    listed = {row["file"]: row for row in CLASSES}
    assert listed.keys() == {path.name for path in (corpus / "files").iterdir()}
    changed = []
    for file, row in listed.items():
        data = (corpus / "files" / file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"], f"{file} is another file"
        for strict in (True, False):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    found = "skips" if read(data, row["message"], strict).skipped else "ok"
                except CaffeError as error:
                    found = str(error)[2:].partition(": ")[0]
            assert len(caught) == (found == "skips")
            if found != row["strict" if strict else "lenient"]:
                changed.append((file, strict, found, row))
    assert not changed


def test_corpus_index_agrees(corpus: Path) -> None:
    """The index says what C++ made of each file when the corpus was collected."""
    listed = {row["file"]: row["strict"] for row in CLASSES}
    checked = 0
    for row in csv.DictReader((corpus / "index.tsv").read_text().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        verdict = row["notes"].partition("protoc-BVLC:")[2]
        if verdict:
            place = "ok" if verdict.startswith("OK") else verdict.split()[1].strip("@")
            assert listed[row["file"]] == place, row["file"]
            checked += 1
    assert checked >= len(listed) - 2  # two have no verdict


# ---- protobuf's own Python reader as an oracle

KNOWN_DIFFERENCES = {
    r"\+5|1_000|inff|: -0$": "Python's int() and float() take more than C++",
    r"- 5|-\n5|- 2": "C++ takes a minus that stands apart",
    r"(value|double_data|base_lr): (-?0\d|1F$)": "protobuf 4 took leading zeros, and no capital F",
    r"(mirror|variance_norm): 0": "C++ takes octal and hex in bools and enums",
    r"variance_norm: (4294967296|-9223372036854775808)": "Python lets enum numbers wrap around",
    r"3\.402823567797336|34028235677973366": "C++ rounds a little more to the largest float32",
    r"\\": "Python knows other escapes",
    r"\x00": "C++ refuses NUL even in comments",
    r"[\x80-\xff]": "Python refuses what is not UTF-8",
}


def pythons_reading(text: bytes, message: str) -> bytes | None:
    try:
        found = text_format.Parse(text, getattr(schema, message)())
    except (text_format.ParseError, ValueError):
        return None
    return bytes(found.SerializeToString(deterministic=True)) if found.IsInitialized() else None


def our_reading(text: bytes, message: str) -> bytes | None:
    try:
        return bytes(read(text, message).message.SerializeToString(deterministic=True))
    except CaffeError:
        return None


def test_oracle_on_the_edges() -> None:
    known = re.compile("|".join(KNOWN_DIFFERENCES))
    for case in EDGES:
        if not known.search(case["text"]):
            text = case["text"].encode("latin-1")
            assert our_reading(text, case["message"]) == pythons_reading(text, case["message"]), text


def test_oracle_on_golden_texts(golden: Path) -> None:
    paths = sorted((golden / "nets").glob("*.prototxt"))
    assert paths
    for path in paths:
        message = "SolverParameter" if "solver" in path.name else "NetParameter"
        assert our_reading(path.read_bytes(), message) == pythons_reading(path.read_bytes(), message), path


@pytest.mark.slow
def test_oracle_on_the_corpus(corpus: Path) -> None:
    for row in CLASSES:
        text = (corpus / "files" / row["file"]).read_bytes()
        assert our_reading(text, row["message"]) == pythons_reading(text, row["message"]), row["file"]
    for path in sorted((corpus / "caffe").rglob("*.prototxt")):
        message = "SolverParameter" if "solver" in path.name else "NetParameter"
        assert our_reading(path.read_bytes(), message) == pythons_reading(path.read_bytes(), message), path


def messages(name: str, depth: int = 0) -> st.SearchStrategy[Any]:
    """Random messages with any of their fields set."""
    descriptor = getattr(schema, name).DESCRIPTOR

    def value(field: Any) -> st.SearchStrategy[Any]:
        kinds = {
            field.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
            field.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
            field.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
            field.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False),
            field.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
            field.CPPTYPE_BOOL: st.booleans(),
        }
        if field.type == field.TYPE_BYTES:
            return st.binary(max_size=8)
        if field.cpp_type == field.CPPTYPE_STRING:
            return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        if field.cpp_type == field.CPPTYPE_ENUM:
            return st.sampled_from([v.number for v in field.enum_type.values])
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            return messages(field.message_type.name, depth + 1)
        return kinds[field.cpp_type]

    def built(chosen: list[tuple[Any, Any]]) -> Any:
        message = getattr(schema, name)()
        for field, content in chosen:
            if isinstance(content, list):
                getattr(message, field.name).extend(content)
            elif field.cpp_type == field.CPPTYPE_MESSAGE:
                getattr(message, field.name).CopyFrom(content)
            else:
                setattr(message, field.name, content)
        return message

    def one(field: Any) -> st.SearchStrategy[tuple[Any, Any]]:
        content = value(field)
        return st.tuples(st.just(field), st.lists(content, min_size=1, max_size=3) if is_repeated(field) else content)

    fields = [f for f in descriptor.fields if depth < 3 or f.cpp_type != f.CPPTYPE_MESSAGE]
    always = [f for f in fields if name == "ClipParameter"]  # both of its fields are required
    some = st.lists(st.sampled_from(fields), max_size=5, unique_by=lambda f: f.name) if fields else st.just([])
    return some.flatmap(lambda picked: st.tuples(*map(one, always or picked))).map(built)


def is_repeated(field: Any) -> bool:
    return bool(field.is_repeated) if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def respelled(text: str, rng: random.Random) -> str:
    """Write a text another way: other braces, separators, comments, white space."""
    lines = []
    opened = []
    for line in text.removesuffix("\n").split("\n") if text else []:
        body = line.strip()
        if body.endswith("{"):
            opened.append(rng.random() < 0.3)
            body = body[:-1].rstrip() + rng.choice([" ", ": ", ":", ""]) + ("<" if opened[-1] else "{")
        elif body == "}":
            body = (">" if opened.pop() else "}") + rng.choice(["", ";", ",", " ;"])
        else:
            body = (
                rng.choice(["", "\t"])
                + body.replace(": ", rng.choice([":", " : ", ":\n"]), 1)
                + rng.choice(["", ";", " ,"])
            )
        lines.append(body + rng.choice(["\n", " ", "\r\n", " # '{[\n", "\v\f"]))
    return "".join(lines)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(message=st.sampled_from(["NetParameter", "SolverParameter", "Datum"]).flatmap(messages), seed=st.integers())
def test_oracle_on_random_texts(message: Any, seed: int) -> None:
    name = message.DESCRIPTOR.name
    text = respelled(text_format.MessageToString(message), random.Random(seed)).encode()
    expected = message.SerializeToString(deterministic=True)
    assert our_reading(text, name) == expected == pythons_reading(text, name)
    assert our_reading(prototxt.format_text(message).encode(), name) == expected


# ---- lines, and what lenient reading skips

FORKED = """
name: "ssd"
layer {
  name: "perm"  type: "Permute"
  bottom: "a" bottom: "b"
  permute_param { order: 0 order: 2 order: [3, 1] }
  frozen: true, weird: -inf;
}
layer { name: "c" pooling_param { pool: MAX ceil_mode: false nested < deep: { x: 'y' "z" } [a.b]: 0x10 > } }
layers { name: "old" type: RESHAPE [my.ext] { k: 1.5 } top: "t" }
layer { pooling_param { ceil_mode: false } data_param { backend: 7 } }
"""


def test_lines_and_extras() -> None:
    with pytest.warns(CaffeWarning) as caught:
        text = read(FORKED, "NetParameter", strict=False)
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "F: skipped what BVLC Caffe does not know: field permute_param of LayerParameter (line 6); "
        "field frozen of LayerParameter (line 7); field weird of LayerParameter (line 7); "
        "field ceil_mode of PoolingParameter (2 times: lines 9, 11); field nested of PoolingParameter (line 9); "
        "value RESHAPE of type (line 10); extension [my.ext] of V1LayerParameter (line 10); "
        "value 7 of backend (line 11)"
    )
    assert text.lines == {
        ("name",): 2,
        ("layer", 0): 3,
        ("layer", 0, "name"): 4,
        ("layer", 0, "type"): 4,
        ("layer", 0, "bottom", 0): 5,
        ("layer", 0, "bottom", 1): 5,
        ("layer", 1): 9,
        ("layer", 1, "name"): 9,
        ("layer", 1, "pooling_param"): 9,
        ("layer", 1, "pooling_param", "pool"): 9,
        ("layers", 0): 10,
        ("layers", 0, "name"): 10,
        ("layers", 0, "type"): 10,
        ("layers", 0, "top", 0): 10,
        ("layer", 2): 11,
        ("layer", 2, "pooling_param"): 11,
        ("layer", 2, "data_param"): 11,
        ("layer", 2, "data_param", "backend"): 11,
    }
    assert text.extras == {
        ("layer", 0): {"permute_param": [{"order": [0, 2, 3, 1]}], "frozen": ["true"], "weird": [-math.inf]},
        ("layer", 1, "pooling_param"): {
            "ceil_mode": ["false"],
            "nested": [{"deep": [{"x": ["yz"]}], "[a.b]": [16]}],
        },
        ("layers", 0): {"type": ["RESHAPE"], "[my.ext]": [{"k": [1.5]}]},
        ("layer", 2, "pooling_param"): {"ceil_mode": ["false"]},
        ("layer", 2, "data_param"): {"backend": [7]},
    }
    assert [line for line, _ in text.skipped] == [6, 7, 7, 9, 9, 10, 10, 11, 11]
    assert not text.message.layers[0].HasField("type")


def test_lenient_reading_of_what_is_known_is_strict_reading(golden: Path) -> None:
    accepted = [net for net in OWN if not recorded_error(net)[0]]
    assert len(accepted) > len(OWN) / 2
    for net in accepted:
        text = (golden / "nets" / net["prototxt"]).read_bytes()
        assert read(text, root_of(net), strict=False) == read(text, root_of(net))


def test_a_typo_is_seen() -> None:
    with pytest.warns(
        CaffeWarning, match=r"field num_ouput of ConvolutionParameter, did you mean num_output\? \(line 1\)"
    ):
        read("layer { convolution_param { num_ouput: 5 } }", "NetParameter", strict=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x", 'F:1:7: Expected string, got: x\ntext stands in quotes: name: "x"'),
        (
            'name: "a"\n\n  name: "b"',
            'F:3:7: Non-repeated field "name" is specified multiple times.\nline 1 and line 3 both give it: keep one',
        ),
        ("\ufeffname: 'a'", "F:1:1: Interpreting non ascii codepoint 239.\nthe file begins with a byte order mark: "),
        ("name: 'a'\n<<<<<<< HEAD", "F:2:1: Expected identifier, got: <\na merge conflict was left in the file"),
        ("layer {\n  name: 'a'\n=======", "F:3:1: Expected identifier, got: =\na merge conflict was left"),
        ("layer {\n>>>>>>> branch", 'F:2:1: Expected "}", found ">".\na merge conflict was left'),
        ("layer {\n name: 'a'\n", "F:3:1: Expected identifier, got: \nthe text ends but a message, opened in line 1,"),
        ("layer { } }", "F:1:11: Expected identifier, got: }\nnothing is open here: one closing brace too many"),
        ("layer { pooling_param { pool: MAXX } }", None),
        (
            "layers {\n type: 'Softmax' }",
            "F:2:8: Expected integer or identifier, got: 'Softmax'\nthe type of layers { }",
        ),
        ("layer {\n clip_param { min: 1 } }", "F:2: Message missing required fields: layer[0].clip_param.max\nadd max"),
        ("a/b/net.prototxt\n", None),
        ("input_dim: 3000000000", "F:1:12: Integer out of range (3000000000)\n2147483647 is the largest that fits"),
        ("name: 'a", "F:1:9: Unexpected end of string.\nthe ' that ends it is missing"),
        ("name: 'C:\\data'", "F:1:11: Invalid escape sequence in string literal.\na backslash is written \\\\"),
        (
            "name: 'a' \u2018b\u2019",
            "F:1:11: Interpreting non ascii codepoint 226.\n"
            "\u2018 (U+2018) stands where ' is meant: write the plain character",
        ),
    ],
)
def test_errors_name_the_mend(text: str, expected: str | None) -> None:
    assert expected is None or refusal(text).startswith(expected)
    assert len(refusal(text).splitlines()) == 2


def test_what_a_fork_added_is_an_error_only_when_strict() -> None:
    assert "read with strict=False" in refusal("forked { x: 1 }")
    assert "BVLC Caffe knows MAX, AVE, STOCHASTIC" in refusal("layer { pooling_param { pool: MED } }")
    with pytest.warns(CaffeWarning, match="skipped"):
        read("forked { x: 1 }", "NetParameter", strict=False)


@pytest.mark.parametrize(
    "text",
    [
        "forked 3",
        "forked: ",
        "forked { x: }",
        "forked { x: 1",
        "forked: [1",
        "forked: - x",
        "forked: 'a",
        "forked: $",
        "a.b: 1",
    ],
)
def test_what_is_skipped_must_still_be_well_formed(text: str) -> None:
    refusal(text, strict=False)


# ---- files


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('name: "a"\r\nforce_backward: 1')
    text = prototxt.read(path, schema.NetParameter)
    assert (text.name, text.message.name, text.lines["force_backward",]) == (str(path), "a", 2)
    path.write_text("")
    assert prototxt.read(str(path), schema.NetParameter).message == schema.NetParameter()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("net: 'a.prototxt'", True),
        ("type: SGD net: 'broken'", True),
        ("# net:\n name: 'net' layer { }", False),
        ("name: net\nlayers { }", False),
        ("debug_info: true net_param { layer { } }", True),
        ("forked { net: 1 } input: 'x'", False),
        ("<<<<<<< HEAD\nbase_lr: 1", False),
    ],
)
def test_a_solver_is_told_from_a_net(tmp_path: Path, text: str, expected: bool) -> None:
    path = tmp_path / "any.prototxt"
    path.write_text(text)
    assert is_solver(path) is expected


def test_solvers_of_the_corpus_are_told_from_nets(corpus: Path) -> None:
    for row in CLASSES:
        assert is_solver(corpus / "files" / row["file"]) == (row["message"] == "SolverParameter"), row["file"]


def test_what_is_no_text_and_no_path() -> None:
    for text in (None, 5, bytearray(b"name: 'a'")):
        with pytest.raises(CaffeError, match="str or bytes"):
            prototxt.parse(text, schema.NetParameter)
    with pytest.raises(CaffeError, match="can't read None"):
        prototxt.read(None, schema.NetParameter)


def test_files_that_cannot_be(tmp_path: Path) -> None:
    binary = tmp_path / "w.caffemodel"
    binary.write_bytes(schema.NetParameter(name="abc", input=["\0" * 9]).SerializeToString())
    wide = tmp_path / "wide.prototxt"
    wide.write_bytes('name: "a"'.encode("utf-16"))
    huge = tmp_path / "huge.prototxt"
    with huge.open("wb") as file:
        file.truncate(100 << 20)
    for path, expected in [
        (tmp_path / "none.prototxt", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "binary file"),
        (wide, "UTF-16"),
        (huge, "larger than 64 MB"),
        ("a\0b", "null"),
    ]:
        start = time.process_time()
        with pytest.raises(CaffeError, match=expected):
            prototxt.read(path, schema.NetParameter)
        assert time.process_time() - start < 2


K = 1 << 16


@pytest.mark.parametrize(
    "text",
    [
        b"layer {" * K,
        b"forked {" * K,
        b"forked: [" * K,
        b"# comment\n" * K,
        b"input_dim: " + b"9" * K,
        b"input_dim: 0" + b"0" * K,
        b"layer { loss_weight: " + b"1" * K + b" }",
        b"layer { loss_weight: 1e" + b"1" * K + b" }",
        b'name: "' + b"\\n" * K + b"\\q",
        b'name: "' + b"a" * K,
        b"name: " + b'"abc" ' * K,
        b"name: " + b'"\xe9" ' * K,
        b"a" * K,
        b"forked: 1\n" * K,
        b"layer { blobs { " + b"data: 0.123456\n" * K + b"} }",
        b"\r" * K,
        b"1" * K + b"x",
        b"forked: 0x" + b"1" * K,
    ],
    ids=lambda text: repr(text[:12]),
)
@pytest.mark.filterwarnings("ignore::caffe_fillers.CaffeWarning")
def test_any_length_takes_linear_time(text: bytes) -> None:
    start = time.process_time()
    try:
        read(text, "NetParameter", strict=False)
    except CaffeError as error:
        found = str(error)
    else:
        found = ""
    assert len(found) < 1000
    assert time.process_time() - start < 5


@settings(max_examples=300, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::caffe_fillers.CaffeWarning")
def test_broken_texts_give_caffe_errors_only(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([FORKED.encode(), *(case["text"].encode("latin-1") for case in EDGES)]))
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 4))
    piece = data.draw(
        st.binary(max_size=4) | st.sampled_from([b"{", b"}", b"<", b"[", b'"', b":", b"\\", b"0x", b"1e"])
    )
    for strict in (True, False):
        with contextlib.suppress(CaffeError):
            read(text[:at] + piece + text[at + cut :], "NetParameter", strict)


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_every_implementation_of_protobuf(implementation: str) -> None:
    code = (
        "from caffe_fillers import schema, prototxt\n"
        "net = prototxt.parse('name: \"a\" layer { clip_param { min: 0 max: 1e400 } }', schema.NetParameter).message\n"
        "assert net.layer[0].clip_param.max == float('inf')\n"
        "print(net.SerializeToString().hex())"
    )
    environment = os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, env=environment, text=True
    )
    assert run.stdout.strip() == "0a0161" + "a2060d" + "a2090a" + "0d00000000" + "150000807f"


def test_every_character_is_written_so_that_it_reads_back():
    message = schema.NetParameter(name="".join(map(chr, range(256))) + "\u20ac\U0001f600")
    text = prototxt.format_text(message)
    assert not [c for c in text if c != "\n" and (ord(c) < 32 or c == "\x7f")]
    assert prototxt.parse(text, schema.NetParameter, strict=True).message == message


@pytest.mark.parametrize("take", [cf.Net, cf.read_net, cf.Solver, cf.read_solver, cf.read_prototxt])
@pytest.mark.parametrize("times", [1, 400])
def test_text_in_place_of_a_path_is_told(take, times):
    text = 'layer { name: "a" type: "Silence" }' * times
    with pytest.raises(cf.CaffeError, match=r"got prototxt text: 'layer \{") as raised:
        take(text)
    assert "read_prototxt(io.BytesIO(text.encode()))" in str(raised.value)
    assert len(str(raised.value)) < 300
    assert len(cf.read_prototxt(io.BytesIO(text.encode())).message.layer) == times
