"""Write caffe_fillers/caffe.desc and caffe_fillers/schema.pyi from proto/caffe.proto.

    python docs/make_schema.py

Both are checked in, so that a build needs no protoc; a test compiles them again and compares.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parents[1]
HEAD = '''"""Written by docs/make_schema.py: do not edit."""

from typing import Any as _Any, TypeGuard as _TypeGuard

'''
TAIL = """
def names() -> list[str]: ...
def enum(name: str) -> dict[str, _Any]: ...
def is_message(value: object, name: str) -> _TypeGuard[_message.Message]: ...
"""


def compiled(folder: Path) -> dict[str, bytes]:
    """Compile the schema in `folder`; return what belongs into the package, by name."""
    include = files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{ROOT / 'proto'}", f"-I{include}", f"--descriptor_set_out={folder / 'caffe.desc'}"]
    if protoc.main([*arguments, f"--pyi_out={folder}", "caffe.proto"]):
        raise RuntimeError("protoc failed")
    stub = (folder / "caffe_pb2.pyi").read_text()
    stub = stub.replace("_Mapping]", "_Mapping[str, object]]")
    return {"caffe.desc": (folder / "caffe.desc").read_bytes(), "schema.pyi": f"{HEAD}{stub}{TAIL}".encode()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name, data in compiled(Path(folder)).items():
            (ROOT / "caffe_fillers" / name).write_bytes(data)
            sys.stdout.write(f"wrote caffe_fillers/{name}\n")
