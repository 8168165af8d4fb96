"""Whole nets: what reading and setting up costs beside the fills themselves, and how it grows with depth.

    python benchmarks/nets.py [--json FILE]

Every figure is the best of several, and every ratio is of two figures of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import caffe_fillers as cf
from caffe_fillers import fillers


def conv(name, bottom, top, outputs, kernel, *, pad=0, stride=1, bias=True):
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top}"
  convolution_param {{ num_output: {outputs} kernel_size: {kernel} pad: {pad} stride: {stride}
    bias_term: {str(bias).lower()} weight_filler {{ type: "msra" }} }} }}"""


def vgg16():
    """VGG-16, 138 million weights."""
    text = [
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } } }'
    ]
    bottom = "data"
    for block, (outputs, times) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        for i in range(1, times + 1):
            name = f"conv{block}_{i}"
            text.append(conv(name, bottom, name, outputs, 3, pad=1))
            text.append(f'layer {{ name: "relu{block}_{i}" type: "ReLU" bottom: "{name}" top: "{name}" }}')
            bottom = name
        text.append(
            f'layer {{ name: "pool{block}" type: "Pooling" bottom: "{bottom}" top: "pool{block}" '
            "pooling_param { pool: MAX kernel_size: 2 stride: 2 } }"
        )
        bottom = f"pool{block}"
    for name, outputs in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000)):
        text.append(
            f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" inner_product_param '
            f'{{ num_output: {outputs} weight_filler {{ type: "gaussian" std: 0.01 }} }} }}'
        )
        bottom = name
    return "\n".join(text)


def resnet152():
    """ResNet-152, 60 million weights in 670 layers with BatchNorm and Scale."""
    text = [
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } } }'
    ]

    def unit(name, bottom, outputs, kernel, stride=1, relu=True):
        text.append(conv(name, bottom, name, outputs, kernel, pad=kernel // 2, stride=stride, bias=False))
        text.append(f'layer {{ name: "bn_{name}" type: "BatchNorm" bottom: "{name}" top: "{name}" }}')
        text.append(
            f'layer {{ name: "scale_{name}" type: "Scale" bottom: "{name}" top: "{name}" '
            "scale_param { bias_term: true } }"
        )
        if relu:
            text.append(f'layer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}')
        return name

    bottom = unit("conv1", "data", 64, 7, 2)
    text.append(
        'layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" '
        "pooling_param { pool: MAX kernel_size: 3 stride: 2 } }"
    )
    bottom = "pool1"
    for stage, (width, times) in enumerate([(64, 3), (128, 8), (256, 36), (512, 3)], 2):
        for i in range(times):
            name, stride = f"res{stage}_{i}", 2 if i == 0 and stage > 2 else 1
            short = unit(f"{name}_branch1", bottom, 4 * width, 1, stride, relu=False) if i == 0 else bottom
            a = unit(f"{name}_a", bottom, width, 1, stride)
            b = unit(f"{name}_b", a, width, 3)
            c = unit(f"{name}_c", b, 4 * width, 1, relu=False)
            text.append(f'layer {{ name: "{name}" type: "Eltwise" bottom: "{short}" bottom: "{c}" top: "{name}" }}')
            text.append(f'layer {{ name: "{name}_relu" type: "ReLU" bottom: "{name}" top: "{name}" }}')
            bottom = name
    text.append(
        f'layer {{ name: "pool5" type: "Pooling" bottom: "{bottom}" top: "pool5" '
        "pooling_param { pool: AVE global_pooling: true } }"
    )
    text.append(
        'layer { name: "fc" type: "InnerProduct" bottom: "pool5" top: "fc" '
        'inner_product_param { num_output: 1000 weight_filler { type: "msra" } } }'
    )
    return "\n".join(text)


def chain(layers):
    text = ['layer { name: "x" type: "Input" top: "b0" input_param { shape { dim: 1 dim: 4 } } }']
    for i in range(layers):
        text.append(
            f'layer {{ name: "l{i}" type: "InnerProduct" bottom: "b{i}" top: "b{i + 1}" '
            'inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }'
        )
    return "\n".join(text)


def best(call, times, clock=time.perf_counter):
    shortest = float("inf")
    for _ in range(times):
        start = clock()
        result = call()
        shortest = min(shortest, clock() - start)
        del result
    return shortest


def fills_alone(net):
    """Return a call that only fills fresh arrays as the net did, blob by blob."""
    plans = [
        (plan, blob.shape)
        for step in net.steps
        for blob, plan in zip(step.layer.blobs, step.plans, strict=True)
        if plan
    ]

    def call():
        rng = cf.RNG(1)
        arrays = []
        for plan, shape in plans:
            arrays.append(np.empty(shape, np.float32))
            fillers.apply(plan, arrays[-1], rng, 1)
        return arrays

    return call


# protobuf loads these for any message, so they count as protobuf's
PROTOBUF = "google.protobuf.descriptor_pb2, google.protobuf.descriptor_pool, google.protobuf.message_factory"


def import_ms(code):
    """Return the milliseconds of processor time that imports take beyond NumPy and protobuf, in a fresh interpreter.

    Bytecode is kept, as in any installation: compiling the package anew takes three times as long as importing it.
    """
    timed = f"import numpy, {PROTOBUF}, time; began = time.process_time(); {code}; print(time.process_time() - began)"
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True, env=kept)
    return float(done.stdout) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="write the figures here")
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        print(f"{'net':14} {'total':>10} {'fills':>10} {'total / fills':>14} {'read':>10} {'read, set up':>14}")
        for name, text in (("VGG-16", vgg16()), ("ResNet-152", resnet152())):
            path.write_text(text)
            net = cf.Net(path, rng=1, threads=1)
            alone = fills_alone(net)
            del net
            total, fills = [], []
            # in turns, so that noise falls on both
            for _ in range(options.times):
                total.append(best(lambda: cf.Net(path, rng=1, threads=1), 1))
                fills.append(best(alone, 1))
            # nothing is drawn for constants: what is left is the text and the plans
            path.write_text(re.sub('"(msra|gaussian)"', '"constant"', text))
            read = best(lambda: cf.read_net(path), options.times, time.process_time)
            planned = best(lambda: cf.Net(path, fill=False), options.times, time.process_time)
            row = {"total_ms": min(total) * 1e3, "fills_ms": min(fills) * 1e3, "ratio": min(total) / min(fills)}
            rows[name] = row | {"read_ms": read * 1e3, "read_and_set_up_ms": planned * 1e3}
            print(
                f"{name:14} {row['total_ms']:8.1f}ms {row['fills_ms']:8.1f}ms {row['ratio']:14.2f}"
                f" {read * 1e3:8.1f}ms {planned * 1e3:12.1f}ms"
            )
        print(f"\n{'layers':14} {'total':>10} {'a layer':>10}")
        for layers in (100, 1000, 10000):
            path.write_text(chain(layers))
            seconds = best(lambda: cf.Net(path, rng=1), max(2, options.times // 2))
            rows[f"chain of {layers}"] = {"total_ms": seconds * 1e3, "us_per_layer": seconds / layers * 1e6}
            print(f"{layers:<14} {seconds * 1e3:8.1f}ms {seconds / layers * 1e6:8.1f}us")
    print(f"\n{'imports':28} {'beyond NumPy and protobuf':>28}")
    for code in ("import caffe_fillers", "from caffe_fillers import Net"):
        # the first run may compile
        rows[code] = {"ms": min([import_ms(code) for _ in range(options.times + 1)][1:])}
        print(f"{code:28} {rows[code]['ms']:26.1f}ms")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
