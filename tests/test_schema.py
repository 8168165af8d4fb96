"""The schema: its descriptor set is what proto/ says, and it lives beside anything else."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from caffe_fillers import schema

PROTO = Path(__file__).parents[1] / "proto"
DESC = Path(schema.__file__).with_name("caffe.desc")


def test_what_is_checked_in_is_compiled_from_proto(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools.protoc", reason="NOT RUN: grpcio-tools is not installed")
    result = runpy.run_path(str(root / "docs" / "make_schema.py"))["compiled"](tmp_path)
    fresh, checked_in = (
        descriptor_pb2.FileDescriptorSet.FromString(data) for data in (result["caffe.desc"], DESC.read_bytes())
    )
    assert fresh == checked_in, "caffe.desc is stale: python docs/make_schema.py"
    # what a checkout has: an installed package may be of another build
    stub = (root / "caffe_fillers" / "schema.pyi").read_text()
    assert _declared(result["schema.pyi"].decode()) == _declared(stub), (
        "schema.pyi is stale: python docs/make_schema.py"
    )


def _declared(stub: str) -> set[str]:
    """The fields of each class, which no version of protoc writes otherwise."""
    return {
        f"{kind.name}.{field.target.id}"
        for kind in ast.walk(ast.parse(stub))
        if isinstance(kind, ast.ClassDef)
        for field in kind.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def test_names_give_classes() -> None:
    assert len(schema.names()) == 63
    for name in schema.names():
        cls = getattr(schema, name)
        assert cls is getattr(schema, name)
        assert cls.DESCRIPTOR.full_name == f"caffe.{name}"
        assert name in dir(schema)
    with pytest.raises(AttributeError, match="no such message"):
        schema.NoSuchParameter  # noqa: B018
    with pytest.raises(AttributeError):
        schema._NetParameter  # noqa: B018
    assert schema.enum("Phase") == {"TRAIN": 0, "TEST": 1}


def test_defaults_and_presence() -> None:
    filler = schema.FillerParameter()
    assert (filler.type, filler.value, filler.max, filler.std, filler.sparse) == ("constant", 0, 1, 1, -1)
    assert not filler.HasField("std")
    filler.std = 1
    assert filler.HasField("std")
    assert schema.SolverParameter().solver_mode == 1
    # a file that reads as packed is written as packed: .caffemodel files depend on it
    assert schema.BlobShape(dim=[1, 2]).SerializeToString() == b"\x0a\x02\x01\x02"


OTHER_FIRST = """
import caffe_pb2
from caffe_fillers import schema
"""
OURS_FIRST = """
from caffe_fillers import schema
schema.NetParameter()
import caffe_pb2
"""
USE = """
ours, theirs = schema.NetParameter(name="a"), caffe_pb2.NetParameter(name="b")
ours.layer.add(name="x").convolution_param.kernel_size.append(3)
theirs.layer.add(name="y")
theirs.MergeFromString(ours.SerializeToString())
assert [l.name for l in theirs.layer] == ["y", "x"] and theirs.name == "a"
assert schema.NetParameter is not caffe_pb2.NetParameter
"""


@pytest.mark.parametrize("order", [OTHER_FIRST, OURS_FIRST], ids=["other_first", "ours_first"])
def test_beside_another_caffe_pb2(tmp_path: Path, order: str) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="NOT RUN: grpcio-tools is not installed")
    assert protoc.main(["protoc", f"-I{PROTO}", f"--python_out={tmp_path}", f"{PROTO}/caffe.proto"]) == 0
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{order}{USE}"], check=True
    )


def test_no_message_of_ours_leaks_into_the_default_pool() -> None:
    code = (
        "from google.protobuf import descriptor_pool\n"
        "from caffe_fillers import schema\n"
        "schema.NetParameter()\n"
        "try:\n    descriptor_pool.Default().FindMessageTypeByName('caffe.NetParameter')\n"
        "except KeyError:\n    print('private')"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "private\n"
    )
