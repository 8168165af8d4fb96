"""Make the files of this folder anew: `python make.py`. Each is refused or survived; expected.tsv says with what words.

The HDF5 files depend on the version of HDF5 in their bytes, not in what they try.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, payload):
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def model(*blobs):
    return field(1, b"net") + field(100, field(1, b"a") + b"".join(field(7, blob) for blob in blobs))


def shape(*dims):
    return field(7, field(1, b"".join(map(varint, dims))))


def npy(descr, dims, data=b"", fortran=False):
    head = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {dims}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def npz(*members, kind=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = kind
            archive.writestr(info, data)
    return stream.getvalue()


def overlapping_zip():
    """Ten entries over the same data, as in a bomb that grows with the square of its size."""
    data = zlib.compress(bytes(1 << 20), 9)[2:-4]
    name = b"a/0.npy"
    check, size = zlib.crc32(bytes(1 << 20)), 1 << 20
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, check, len(data), size, len(name), 0)
    central = b""
    for index in range(2000):
        key = f"a/{index}.npy".encode()
        sizes = (check, len(data), size, len(key))
        central += struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, *sizes, *[0] * 6) + key
    start = len(local) + len(name) + len(data)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2000, 2000, len(central), start, 0)
    return local + name + data + central + end


def safetensors(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(start, stop, dims, dtype="F32"):
    return {"dtype": dtype, "shape": dims, "data_offsets": [start, stop]}


def hdf5(fill):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file)
    return stream.getvalue()


def huge(file):
    space = h5py.h5s.create_simple((1 << 20, 1 << 10))
    group = file.create_group("data/a")
    h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space)


def bomb(file):
    group = file.create_group("data/a")
    for index in range(10):
        group.create_dataset(str(index), shape=(1 << 26,), dtype="<f4", chunks=(1 << 22,), compression=9, fillvalue=0)
        group[str(index)][: 1 << 22] = 0


def circle(file):
    group = file.create_group("data/a")
    group["b"] = file["data/a"]


def external(file):
    group = file.create_group("data/a")
    group.create_dataset("0", (4,), "<f4", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "<f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_group("data/a").create_virtual_dataset("0", layout)


def linked(link):
    def fill(file):
        file.create_group("data")["a"] = link

    return fill


def group_bytes():
    return b"".join(varint(31 << 3 | 3) for _ in range(100_000))


ATTACKS = {
    "huge_shape.caffemodel": (model(shape(1 << 15, 1 << 15)), "1073741824|declares 32768x32768, but 0 values"),
    "overflow_32.caffemodel": (model(shape(1 << 16, 1 << 16)), "more than 2147483647"),
    "overflow_64.caffemodel": (model(shape(1 << 32, 1 << 32)), "more than 2147483647"),
    "beside_a_zero.caffemodel": (model(shape(1 << 62, 0)), "more than 2147483647"),
    "negative.caffemodel": (model(shape((1 << 64) - 1, (1 << 64) - 4) + field(5, bytes(16))), "negative"),
    "huge_length.caffemodel": (model(shape(4))[:-5] + b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "damaged"),
    "million_axes.caffemodel": (model(field(7, field(1, b"\x01" * 100_000))), "32 axes"),
    "deep_groups.caffemodel": (field(100, group_bytes()), "nest"),
    "deep_messages.caffemodel": (
        # a filler in which groups begin and never end
        field(100, field(106, field(7, b"\x0b" * 5000))),
        "damaged|no NetParameter",
    ),
    "no_end.caffemodel": (b"\xa2\x06" + b"\xff" * 64, "does not end"),
    "pickle.npz": (npz(("a/0.npy", npy("|O", "(1,)", b"\x80\x04cos\nsystem\n(S'true'\ntR."))), "pickled objects"),
    "checkpoint.npz": (npz(("archive/data.pkl", b"\x80\x02}q\x00."), ("archive/version", b"3")), "pickled objects"),
    "huge_shape.npz": (npz(("a/0.npy", npy("<f4", "(1073741824,)"))), "declares 1073741824 values"),
    "overflow.npz": (npz(("a/0.npy", npy("<f4", "(4294967296, 4294967296)"))), "more than 2147483647"),
    "negative.npz": (npz(("a/0.npy", npy("<f4", "(-1, -4)", bytes(16)))), "negative"),
    "code_in_header.npz": (npz(("a/0.npy", npy("<f4", "__import__('os').system('true')"))), "no readable header"),
    "deep_header.npz": (npz(("a/0.npy", npy("<f4", "(" * 9000))), "no readable header"),
    "bomb.npz": (npz(*((f"a/{i}.npy", bytes(8 << 20)) for i in range(64)), kind=zipfile.ZIP_DEFLATED), "zip bomb"),
    "overlap.npz": (overlapping_zip(), "zip bomb"),
    "climb_out.npz": (npz(("../../../tmp/x", b"x")), "no array"),
    "structured.npz": (npz(("a/0.npy", npy([("x", "<f4")], "(1,)", bytes(4)))), "float32 or float64"),
    "deep_record.npz": (npz(("provenance.json", b"[" * 100_000)), "not readable as JSON"),
    "odd_record.npz": (npz(("provenance.json", b'{"layers": [{"name": 3}]}')), "not of the form"),
    "overlap.safetensors": (
        safetensors({"a/0": tensor(0, 16, [4]), "a/1": tensor(8, 24, [4])}, bytes(24)),
        "damaged",
    ),
    "huge_shape.safetensors": (safetensors({"a/0": tensor(0, 1 << 50, [1 << 48])}, bytes(8)), "damaged"),
    "mismatch.safetensors": (safetensors({"a/0": tensor(0, 8, [1 << 20])}, bytes(8)), "damaged"),
    "overflow.safetensors": (safetensors({"a/0": tensor(0, 0, [1 << 62, 1 << 62])}), "damaged"),
    "hole.safetensors": (safetensors({"a/0": tensor(0, 4, [1]), "a/1": tensor(8, 12, [1])}, bytes(12)), "damaged"),
    "huge_header.safetensors": (safetensors(b"{}", size=1 << 62), "no binary protobuf|damaged|byte"),
    "deep_header.safetensors": (safetensors(b'{"a":' * 20_000), "damaged"),
    "integers.safetensors": (safetensors({"a/0": tensor(0, 8, [1], "I64")}, bytes(8)), "float32 or float64"),
    "no_layer.safetensors": (safetensors({"weight": tensor(0, 4, [1])}, bytes(4)), "not named"),
    "external_link.h5": (hdf5(linked(h5py.ExternalLink("/etc/passwd", "/"))), "ExternalLink"),
    "soft_link.h5": (hdf5(linked(h5py.SoftLink("/"))), "SoftLink"),
    "external_values.h5": (hdf5(external), "another file"),
    "virtual_values.h5": (hdf5(virtual), "another file"),
    "huge_shape.h5": (hdf5(huge), "declares 1073741824 values"),
    "bomb.h5": (hdf5(bomb), "refused as a bomb"),
    "circle.h5": (hdf5(circle), "circle"),
    "not_caffes.h5": (hdf5(lambda f: f.create_dataset("model_weights/dense", data=np.ones(3))), "no group /data"),
    "integers.h5": (hdf5(lambda f: f.create_dataset("data/a/0", data=np.arange(3))), "float32 or float64"),
    "million_blobs.h5": (hdf5(lambda f: f.create_dataset("data/a/1000000000", data=np.ones(1))), "so many"),
    "truncated.h5": (hdf5(lambda f: f.create_dataset("data/a/0", data=np.ones(1000)))[:3000], "damaged"),
}

if __name__ == "__main__":
    for name, (content, _) in ATTACKS.items():
        (HERE / name).write_bytes(content)
    (HERE / "expected.tsv").write_text("".join(f"{name}\t{what}\n" for name, (_, what) in sorted(ATTACKS.items())))
