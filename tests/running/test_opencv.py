"""Real deploy nets of the corpus with random weights against OpenCV, which reads and runs Caffe's models by itself."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest

import caffe_fillers as cf

# the fast ones; OpenCV knows no `k` of LRN and no `transpose` of InnerProduct, so nets that have them are not here
FAST = (
    "files/BVLC-caffe__cifar10-cifar10_quick.prototxt",
    "files/BVLC-caffe__mnist-mnist_xcov_decode.prototxt",
    "files/BVLC-caffe__siamese-mnist_siamese.prototxt",
    "files/MTCNN_face_detection_a__model-det2.prototxt",
    "files/caffepresso__nets-cifar10_custom_example.prototxt",
    "files/caffe-face__mnist_example-mnist_deploy.prototxt",
    "files/stephenyan1231-caffe__cifar10-cifar10_full.prototxt",
    "caffe/examples/mnist/lenet.prototxt",
    "caffe/examples/net_surgery/conv.prototxt",
)
SLOW = (
    "files/BVLC-caffe__bvlc_reference_rcnn_ilsvrc13-deploy.prototxt",
    "files/BVLC-caffe__mobilenet-mobilenet_deploy.prototxt",
    "files/BVLC-caffe__net_surgery-bvlc_caffenet_full_conv.prototxt",
    "files/ShuffleNet__shufflenet_1x_g3_deploy.prototxt",
    "files/SqueezeNet__SqueezeNet_v1.0-deploy.prototxt",
    "files/X2Paddle__AlexNet-alexnet.prototxt",
    "files/X2Paddle__MobileNetV2-mobilenet_v2_deploy.prototxt",
    "files/caffe-model__densenet-deploy_densenet121.prototxt",
    "files/caffe-model__inception-deploy_inception-v1-dsd.prototxt",
    "files/caffe-model__inception-deploy_inception-v1-tf.prototxt",
    "files/caffe-model__inception-deploy_xception-dw.prototxt",
    "files/caffe-yolo__prototxt-yolo_tiny_deploy.prototxt",
    "files/cnn-models__ResNet10_cvgj-deploy.prototxt",
    "files/cnn-models__ResNet50_cvgj-deploy.prototxt",
    "files/deep-residual-networks__prototxt-ResNet-50-deploy.prototxt",
    "files/sphereface__code-sphereface_deploy.prototxt",
    "caffe/models/bvlc_reference_caffenet/deploy.prototxt",
    "files/openpose__body_25-pose_deploy.prototxt",
)


def randomize(net: cf.Net) -> None:
    """Weights that keep the size of what goes through them, and statistics that a net could have."""
    random = np.random.default_rng(11)
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            if layer.type == "BatchNorm":
                low, high = ((-0.1, 0.1), (0.5, 1.5), (2, 2))[i]
                blob.data[...] = random.uniform(low, high, blob.shape)
            elif layer.type == "Scale":
                blob.data[...] = random.uniform(*((0.5, 1.5), (-0.1, 0.1))[i], blob.shape)
            elif layer.type == "PReLU":
                blob.data[...] = random.uniform(0.1, 0.4, blob.shape)
            elif i == 0:
                # uniform, for normal values of large nets take longer than the nets
                random.random(out=blob.data, dtype=np.float32)
                blob.data[...] -= np.float32(0.5)
                blob.data[...] *= np.float32(np.sqrt(24 / np.prod(blob.shape[1:])))
            else:
                blob.data[...] = random.uniform(-0.1, 0.1, blob.shape)


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_every_blob_is_opencvs(name, corpus, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cf.CaffeWarning)
        net = cf.Net(corpus / name, "TEST", rng=1)
    for blob in map(net.blobs.__getitem__, net.inputs):
        blob.reshape(1, *blob.shape[1:])
    net.reshape()
    randomize(net)
    random = np.random.default_rng(12)
    given = {name: random.standard_normal(net.blobs[name].shape).astype(np.float32) for name in net.inputs}
    net.forward(**given)
    net.save(tmp_path / "weights.caffemodel")
    theirs = cv2.dnn.readNetFromCaffe(str(corpus / name), str(tmp_path / "weights.caffemodel"))
    theirs.enableFusion(False)
    for blob, values in given.items():
        theirs.setInput(values, blob)
    # a blob holds what the last layer left there that works on it; OpenCV knows it by that layer's name
    makers = {layer.tops[0]: layer.name for layer in net.layers if len(layer.tops) == 1 and layer.type != "Input"}
    known = set(theirs.getLayerNames())
    makers = {blob: layer for blob, layer in makers.items() if layer in known}
    assert len(makers) >= len(net.blobs) - len(net.inputs) - 1
    names = list(dict.fromkeys(makers.values()))
    found = dict(zip(names, theirs.forward(names), strict=True))
    for blob, layer in makers.items():
        ours, other = net.blobs[blob].data, np.asarray(found[layer])
        assert ours.size == other.size, blob
        limit = 1e-4 * float(np.abs(ours).max())
        assert float(np.abs(ours.reshape(-1) - other.reshape(-1)).max()) <= limit, blob
