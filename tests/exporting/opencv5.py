"""Check that OpenCV 5, which reads no Caffe files any more, reads exported nets and computes the same.

    python tests/exporting/opencv5.py write FOLDER         where this package is installed
    python tests/exporting/opencv5.py read FOLDER          where OpenCV 5 is

`.ci/long` runs both, each in an environment of its own: OpenCV 4 and 5 can't be installed side by side.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("CAFFE_FILLERS_CORPUS") or ROOT.parent / "shared" / "corpus")
# the file, and the layer (and blob) before the softmax, which would hide differences
NETS = {
    "CaffeNet": ("caffe/models/bvlc_reference_caffenet/deploy.prototxt", "fc8"),
    "GoogLeNet": ("caffe/models/bvlc_googlenet/train_val.prototxt", "loss3/classifier"),
    "ResNet-50": ("files/deep-residual-networks__prototxt-ResNet-50-deploy.prototxt", "fc1000"),
    "MobileNet": ("files/MobileNet-Caffe__mobilenet_deploy.prototxt", "fc7"),
    "SqueezeNet": ("files/SqueezeNet__SqueezeNet_v1.0-deploy.prototxt", "pool10"),
}
TOLERANCE = 1e-4


def write(folder: Path) -> None:
    import caffe_fillers as cf

    warnings.simplefilter("ignore")
    r = np.random.default_rng(0)
    for name, (path, end) in NETS.items():
        given = {"inputs": {"data": (3, 224, 224)}} if "train_val" in path else {}
        net = cf.Net(CORPUS / path, "TEST", rng=1, **given)
        for layer in net.layers:
            for i, blob in enumerate(layer.blobs):
                if layer.type == "BatchNorm":
                    blob.data[...] = (0.1, r.uniform(0.5, 1.5, blob.shape), 1.0)[i]
                elif layer.type == "Scale" and i == 0:
                    blob.data[...] = r.uniform(0.5, 1.5, blob.shape)
                else:
                    spread = math.sqrt(2 / math.prod(blob.shape[1:])) if len(blob.shape) > 1 else 0.1
                    blob.data[...] = spread * r.standard_normal(blob.shape)
        for step in net.steps:
            for blob in step.tops if not step.bottoms else ():
                blob.reshape(1, *blob.shape[1:])
        cf.export(net, folder / f"{name}.onnx", end=end)
        x = r.standard_normal(net.blobs["data"].shape).astype(np.float32)
        net.blobs["data"].data[...] = x
        places = [i for i, step in enumerate(net.steps) if step.bottoms]
        for place in places:
            net.tape.forward(place, place + 1)
            if net.steps[place].layer.name == end:
                break
        np.savez(folder / f"{name}.npz", x=x, y=net.blobs[net.layer_dict[end].tops[0]].data)


def read(folder: Path) -> int:
    import cv2

    assert int(cv2.__version__.split(".")[0]) >= 5, cv2.__version__
    failed = 0
    for name, (_, end) in NETS.items():
        with np.load(folder / f"{name}.npz") as file:
            x, y = file["x"], file["y"]
        net = cv2.dnn.readNetFromONNX(str(folder / f"{name}.onnx"))
        net.setInput(x)
        apart = float(np.abs(net.forward(end) - y).max() / np.abs(y).max())
        print(f"{name}: {apart:.2g} of the largest value apart, which is {np.abs(y).max():.3g}")
        failed += not apart <= TOLERANCE
    return failed


if __name__ == "__main__":
    mode, folder = sys.argv[1:]
    sys.exit(read(Path(folder)) if mode == "read" else write(Path(folder)))
