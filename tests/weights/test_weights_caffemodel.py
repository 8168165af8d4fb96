"""Caffe's binary files: the real Caffe's bytes, every way the wire format allows to say them, and what is not sound."""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, schema
from caffe_fillers.weights import LayerBlobs, WeightSet, load_weights, read, save_weights

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = [*sorted((GOLDEN / "caffemodel").glob("*.caffemodel")), GOLDEN / "mnist/lenet_iter_0.caffemodel"]


def varint(value):
    out = b""
    value &= (1 << 64) - 1
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, payload):
    """One field: bytes by length, int as varint, a float or ('d', float) as fixed."""
    if isinstance(payload, bytes):
        return varint(number << 3 | 2) + varint(len(payload)) + payload
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    if isinstance(payload, tuple):
        return varint(number << 3 | 1) + struct.pack("<d", payload[1])
    return varint(number << 3 | 5) + struct.pack("<f", payload)


def shape(*dims):
    return field(7, field(1, b"".join(map(varint, dims))))


def floats(*values, number=5):
    return field(number, struct.pack(f"<{len(values)}{'f' if number == 5 else 'd'}", *values))


def net(*blobs, layer=100, number=7, name=1):
    return field(1, b"net") + field(layer, field(name, b"a") + b"".join(field(number, blob) for blob in blobs))


def load(tmp_path, data):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(data)
    return load_weights(path)


# ------------------------------------------------------------------------------------------------ the real Caffe's


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_what_caffe_wrote_is_written_again_byte_for_byte(tmp_path, path):
    model = read(path)
    save_weights(tmp_path / "w.caffemodel", model)
    assert (tmp_path / "w.caffemodel").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_protobufs_own_reader_reads_the_same(path):
    message = schema.NetParameter.FromString(path.read_bytes())
    model = read(path)
    assert model.name == message.name
    assert [layer.name for layer in model.layers] == [layer.name for layer in message.layer]
    for layer, other in zip(model.layers, message.layer, strict=True):
        assert [list(array.shape) for array in layer.arrays] == [list(blob.shape.dim) for blob in other.blobs]
        for array, blob in zip(layer.arrays, other.blobs, strict=True):
            assert array.tobytes() == np.array(blob.data, np.float32).tobytes()
        other.ClearField("blobs")
        assert layer.message == other


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Convolution", "InnerProduct", "ReLU", ""]),
            st.lists(st.lists(st.integers(0, 300), max_size=3), max_size=3),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_the_bytes_are_those_of_protobufs_own_writer(tmp_path_factory, layers):
    message = schema.NetParameter(name="")
    sets = []
    for number, (kind, shapes, double) in enumerate(layers):
        layer = message.layer.add(name=f"l{number}", type=kind, phase=1)
        layer.convolution_param.num_output = 7
        header = type(layer)()
        header.CopyFrom(layer)
        arrays = []
        for dims in shapes:
            if np.prod(dims, dtype=int) > 100_000:
                dims = dims[:1]
            array = np.arange(np.prod(dims, dtype=int), dtype=np.float32).reshape(dims)
            blob = layer.blobs.add()
            blob.shape.dim.extend(dims)
            if not dims:
                blob.ClearField("shape")
            if double and array.size:
                array = array.astype(np.float64)
                blob.double_data.extend(array.reshape(-1).tolist())
            else:
                blob.data.extend(array.reshape(-1).tolist())
            arrays.append(array)
        sets.append(LayerBlobs(layer.name, arrays, header))
    path = tmp_path_factory.mktemp("wire") / "w.caffemodel"
    save_weights(path, WeightSet(sets))
    # protobuf leaves out the net's name when it is unset; Caffe always sets it
    assert path.read_bytes() == message.SerializeToString(deterministic=True)


def test_unknown_fields_of_a_fork_are_kept(tmp_path):
    data = net(floats(2.0) + shape(1)) + field(100, field(1, b"b") + field(2, b"Own") + field(2200, field(1, 5)))
    (tmp_path / "w.caffemodel").write_bytes(data)
    save_weights(tmp_path / "v.caffemodel", read(tmp_path / "w.caffemodel"))
    assert (tmp_path / "v.caffemodel").read_bytes() == data


# --------------------------------------------------------------------------------------------- the ways to say it


@pytest.mark.parametrize(
    "blob",
    [
        shape(2, 3) + floats(1, 2, 3, 4, 5, 6),
        floats(1, 2, 3, 4, 5, 6) + shape(2, 3),
        floats(1, 2) + shape(2, 3) + floats(3) + floats() + floats(4, 5, 6),
        b"".join(field(5, float(v)) for v in range(1, 7)) + shape(2, 3),
        floats(1, 2) + field(5, 3.0) + field(5, 4.0) + field(99, 1) + field(5, 5.0) + floats(6) + shape(2, 3),
        field(7, field(1, 2) + field(1, 3)) + floats(1, 2, 3, 4, 5, 6),
        field(7, field(1, 2)) + field(7, field(1, b"\x03")) + floats(1, 2, 3, 4, 5, 6),
        shape(2, 3) + floats(*range(1, 7), number=8),
        shape(2, 3) + floats(9, 9) + floats(*range(1, 7), number=8),
        shape(2, 3) + b"".join(field(8, ("d", float(v))) for v in range(1, 7)),
        floats(1, 2, number=8) + field(8, ("d", 3.0)) + floats(4, 5, 6, number=8) + shape(2, 3),
        shape(2, 3) + floats(1, 2, 3, 4, 5, 6) + field(6, bytes(24)) + field(9, bytes(8)),
        # a tag in more bytes than it needs, a group that nobody knows
        shape(2, 3) + floats(1, 2, 3, 4) + b"\xad\x00" + struct.pack("<f", 5) + field(5, 6.0),
        b"\xfb\x01" + field(3, 7) + b"\xfc\x01" + shape(2, 3) + floats(1, 2, 3, 4, 5, 6),
    ],
)
def test_values_in_every_form_of_the_wire(tmp_path, blob):
    (array,) = load(tmp_path, net(blob))["a"]
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert array.dtype == (np.float64 if b"\x42" in blob or b"\x41" in blob[:20] else np.float32)
    assert array.flags.writeable
    message = schema.BlobProto.FromString(blob)
    assert array.reshape(-1).tolist() == list(message.double_data or message.data)


def test_many_single_values_are_read_fast_and_whole(tmp_path):
    values = np.arange(300_000, dtype=np.float32)
    records = np.zeros(values.size, [("tag", "u1"), ("value", "<f4")])
    records["tag"], records["value"] = 0x2D, values
    started = time.process_time()
    (array,) = load(tmp_path, net(records.tobytes() + shape(values.size)))["a"]
    assert time.process_time() - started < 2
    assert np.array_equal(array, values)


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        ((1, 1, 2, 3), (1, 1, 2, 3)),
        ((6, 1, 1, 1), (6, 1, 1, 1)),
    ],
)
def test_num_channels_height_width(tmp_path, old, expected):
    blob = b"".join(field(i, dim) for i, dim in enumerate(old, 1)) + floats(1, 2, 3, 4, 5, 6)
    (tmp_path / "w.caffemodel").write_bytes(net(blob))
    (layer,) = read(tmp_path / "w.caffemodel").layers
    assert layer.arrays[0].shape == expected
    assert layer.legacy == [True]
    # as in Caffe, one of the four is enough for `shape` to be ignored
    (tmp_path / "w.caffemodel").write_bytes(net(blob + shape(3, 2)))
    assert read(tmp_path / "w.caffemodel").layers[0].arrays[0].shape == expected


def test_a_shape_without_axes_is_one_value(tmp_path):
    (array,) = load(tmp_path, net(floats(3)))["a"]
    assert array.shape == ()
    assert array == 3
    (array,) = load(tmp_path, net(field(7, b"") + floats(3)))["a"]
    assert array.shape == ()


def test_v1(tmp_path):
    data = net(shape(2) + floats(1, 2), floats(3), layer=2, number=6, name=4)
    data += field(2, field(4, b"b") + field(5, 4) + field(6, shape(1) + floats(9)))
    (tmp_path / "w.caffemodel").write_bytes(data)
    model = read(tmp_path / "w.caffemodel")
    assert [(layer.name, [a.tolist() for a in layer.arrays]) for layer in model.layers] == [
        ("a", [[1, 2], 3]),
        ("b", [[9]]),
    ]
    assert model.layers[1].message.type == "Convolution"


def test_v0(tmp_path):
    def connection(kind, name, bottom, top, *blobs):
        record = field(1, name) + field(2, kind) + b"".join(field(50, blob) for blob in blobs)
        return field(2, field(1, record) + (field(2, bottom) if bottom else b"") + field(3, top))

    old = b"".join(field(i, dim) for i, dim in enumerate((1, 1, 1, 2), 1))
    data = field(1, b"net") + field(3, b"data") + b"".join(field(4, dim) for dim in (1, 1, 5, 5))
    data += connection(b"padding", b"pad1", b"data", b"pad1")
    data += connection(b"conv", b"conv1", b"pad1", b"conv1", old + floats(1, 2), old + floats(3, 4))
    data += connection(b"innerproduct", b"fc", b"conv1", b"fc", old + floats(5, 6))
    (tmp_path / "w.caffemodel").write_bytes(data)
    weights = load_weights(tmp_path / "w.caffemodel")
    assert {name: [a.reshape(-1).tolist() for a in arrays] for name, arrays in weights.items()} == {
        "conv1": [[1, 2], [3, 4]],
        "fc": [[5, 6]],
    }
    model = read(tmp_path / "w.caffemodel")
    assert [layer.message.type for layer in model.layers][-2:] == ["Convolution", "InnerProduct"]


def test_mixed_ages_are_refused(tmp_path):
    with pytest.raises(CaffeError, match=r"w\.caffemodel"):
        load(tmp_path, net(shape(1) + floats(1)) + net(shape(1) + floats(1), layer=2, number=6, name=4))


def test_names_that_are_no_utf8(tmp_path):
    data = field(1, b"\xff") + field(100, field(1, b"\xe9") + field(7, shape(1) + floats(1)))
    (tmp_path / "w.caffemodel").write_bytes(data)
    weights = load_weights(tmp_path / "w.caffemodel")
    for suffix in ("npz", "h5", "safetensors", "caffemodel"):  # each keeps the bytes
        save_weights(tmp_path / f"again.{suffix}", weights)
        weights = load_weights(tmp_path / f"again.{suffix}")
    assert b"\x0a\x01\xe9" in (tmp_path / "again.caffemodel").read_bytes()


# ---------------------------------------------------------------------------------------------------- not sound


@pytest.mark.parametrize(
    ("blob", "what"),
    [
        (shape(2, 3) + floats(1), "declares 2x3, but 1 values"),
        (shape(2) + floats(1, 2, 3), "declares 2, but 3 values"),
        (shape(3), "declares 3, but 0 values"),
        (floats(1, 2), "no shape"),
        (shape(2) + floats(1, 2) + floats(1, number=8), "declares 2, but 1 values"),
        (shape(1 << 31), "more than 2147483647"),
        (shape(1 << 40, 1 << 40, 1 << 40), "more than 2147483647"),
        (shape(1 << 16, 1 << 16), "more than 2147483647"),
        (shape((1 << 31) - 1), "declares 2147483647, but 0 values"),
        (shape(-1, -6) + floats(*range(6)), "negative"),
        (shape(*[1] * 33) + floats(1), "32 axes"),
        (field(7, b"".join(field(1, 1) for _ in range(1000))) + floats(1), "32 axes"),
        (field(1, -1) + floats(1), "negative"),
        (field(1, 6) + floats(*range(6)), "declares 6x0x0x0"),
        (field(5, b"123"), "cut in two"),
        (field(8, b"1234"), "cut in two"),
        (field(7, b"\x0a\xff\x01"), "truncated or damaged"),
        (b"\x2d\x00", "truncated or damaged"),
        (b"\x2a\xff\xff\xff\xff\x0f", "truncated or damaged"),
        (b"\x2a" + b"\xff" * 9 + b"\x01", "truncated or damaged"),
        (b"\xff" * 11, "does not end"),
        (b"\x00\x01", "no field can have the tag 0"),
        (b"\x2e", "no field can have the tag"),
        (b"\x2c", "no field can have the tag"),
        (b"\xfb\x01" + b"\xf4\x01", "a group ends"),
        (b"\xfb\x01" * 200, "nest"),
    ],
)
def test_blobs_that_are_not_sound(tmp_path, blob, what):
    data = net(blob)
    tracemalloc.start()
    try:
        with pytest.raises(CaffeError, match=what) as error:
            load(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert "w.caffemodel: at byte " in str(error.value)


def test_every_truncation_is_an_error_or_a_shorter_net(tmp_path):
    data = (GOLDEN / "caffemodel/own__batchnorm__TRAIN.caffemodel").read_bytes()
    whole = len(load(tmp_path, data))
    survived = 0
    for length in range(len(data)):
        with suppress(CaffeError):
            assert len(load(tmp_path, data[:length])) <= whole
            survived += 1
    # a message may end after any of its fields: after the net's name, and after each of its layers
    assert survived <= 6


def test_every_flipped_bit_is_survived(tmp_path):
    data = bytearray((GOLDEN / "caffemodel/own__batchnorm__TRAIN.caffemodel").read_bytes())
    for position in range(len(data)):
        for bit in (0, 3, 7):
            data[position] ^= 1 << bit
            with suppress(CaffeError):
                load(tmp_path, bytes(data))
            data[position] ^= 1 << bit


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3))
def test_any_bytes_are_an_error_or_weights(tmp_path_factory, junk, depth):
    data = junk
    for number in [7, 100][:depth]:
        data = field(number, data)
    with suppress(CaffeError):
        load(tmp_path_factory.mktemp("any"), data)


def test_an_error_leaves_no_file_open(tmp_path):
    import gc
    import os

    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(50):
        with pytest.raises(CaffeError):
            load(tmp_path, net(shape(3)))
    gc.collect()
    assert before == 0 or len(os.listdir("/proc/self/fd")) <= before


def test_over_two_gigabytes_is_refused_before_anything_is_written(tmp_path):
    # zeros that nobody touches take no memory
    many = {"a": [np.zeros((1 << 28) - 1, np.float32)], "b": [np.zeros((1 << 28) - 1, np.float32)]}
    with pytest.raises(CaffeError, match=r"2147483647.*\.npz, \.h5 or \.safetensors"):
        save_weights(tmp_path / "w.caffemodel", many)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_peak_memory_is_the_weights(tmp_path):
    program = textwrap.dedent(f"""
        import resource, sys
        import numpy as np
        from caffe_fillers.weights import load_weights, save_weights
        path = {str(tmp_path / "w.caffemodel")!r}
        def peak():
            return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10
        if sys.argv[1] == "write":
            save_weights(path, {{"s": [np.ones(1, np.float32)]}})
            weights = {{f"l{{i}}": [np.ones((1 << 22) + i, np.float32)] for i in range(8)}}
            start = peak()
            save_weights(path, weights)
        else:
            start = peak()
            weights = load_weights(path)
        total = sum(a.nbytes for arrays in weights.values() for a in arrays)
        print((peak() - start) / total)
    """)
    for action, most in (("write", 0.2), ("read", 1.2)):
        out = subprocess.run([sys.executable, "-c", program, action], capture_output=True, text=True, check=True).stdout
        assert float(out) < most, action
