"""Nets at work, beside OpenCV, ONNX Runtime, PyTorch, and their own matrix products alone.

    OPENBLAS_NUM_THREADS=1 python benchmarks/running.py NETS [--rows products forward training overhead] [--json FILE]
    python benchmarks/running.py NETS --rows threads

NETS is a folder with prototxts of Caffe's model zoo, searched with all its folders. A net that is not there is left
out, and so is a library that is not installed. ONNX Runtime runs our own export. Every figure is the best of several,
taken in turns with what it is compared with. They are CPU time of one thread; the row `threads` is wall time of one and
two, and needs two idle cores.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from exporting import fill
from nets import vgg16

import caffe_fillers as cf
from caffe_fillers import ops

ZOO = {
    "CaffeNet": "bvlc_reference_caffenet/deploy.prototxt",
    "GoogLeNet": "bvlc_googlenet/train_val.prototxt",
    "ResNet-50": "*ResNet-50-deploy.prototxt",
    "MobileNet": "*MobileNet-Caffe__mobilenet_deploy.prototxt",
    "DenseNet-121": "*deploy_densenet121.prototxt",
    "SqueezeNet": "*SqueezeNet_v1.0-deploy.prototxt",
}
LENET = "examples/mnist/lenet_train_test.prototxt"
AUTOENCODER = "examples/mnist/mnist_autoencoder.prototxt"


def best(calls, seconds, least=3, clock=time.process_time):
    """Return the shortest time of each call. The calls take turns, so that noise affects all."""
    for call in calls:
        call()
    shortest = [math.inf] * len(calls)
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < least or time.perf_counter() < end:
        for i, call in enumerate(calls):
            start = clock()
            call()
            shortest[i] = min(shortest[i], clock() - start)
        rounds += 1
    return shortest


def find(folder, pattern):
    return next(iter(sorted(Path(folder).rglob(pattern))), None)


# --- the matrix products of a net alone ---


def products_of(net):
    """Return a call with only the matrix products of one training iteration, into memory allocated before."""
    todo = []

    def add(a, b, shape):
        todo.append((a, b, np.empty(shape, np.float32)))

    for entry in net.tape.entries:
        operation, step = entry.operation, entry.step
        learns = entry.needs_backward
        if isinstance(operation, ops.InnerProduct):
            weight, x = step.layer.blobs[0].data, step.bottoms[0].data
            weight = weight.reshape(weight.shape[-2:])
            x = x.reshape(-1, weight.shape[1])
            dy = np.ones((len(x), len(weight)), np.float32)
            add(x, weight.T, dy.shape)
            if learns:
                add(dy.T, x, weight.shape)
            if any(entry.down):
                add(dy, weight, x.shape)
        elif isinstance(operation, ops.Convolution):
            x, y, weight = step.bottoms[0].data, step.tops[0].data, step.layer.blobs[0].data
            group, kernels = operation.group, weight.reshape(operation.group, len(weight) // operation.group, -1)
            area = math.prod(y.shape[2:])
            columns = np.ones((1, group, kernels.shape[2], area), np.float32)
            dy = np.ones((1, group, kernels.shape[1], area), np.float32)
            for _ in x:
                add(kernels, columns, dy.shape)
                if learns:
                    add(dy, columns.swapaxes(2, 3), (1, *kernels.shape))
                if any(entry.down):
                    add(kernels.swapaxes(1, 2), dy, columns.shape)

    def call():
        for a, b, out in todo:
            np.matmul(a, b, out=out)

    return call


def solver_of(path, inputs, threads=1):
    text = f'net: "{path}" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 max_iter: 100000000\n'
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "solver.prototxt").write_text(text)
        solver = cf.Solver(Path(folder) / "solver.prototxt", rng=1, inputs=inputs, threads=threads)
    rng = np.random.default_rng(1)
    for name, (shape, classes) in given(solver.net).items():
        values = rng.integers(0, classes, shape) if classes else rng.random(shape)
        solver.net.blobs[name].data[...] = values
    return solver


def given(net):
    """Return the blobs that no layer computes, with their shapes, and for labels the number of classes."""
    found = {}
    for step in net.steps:
        if not step.bottoms:
            for name, blob in zip(step.layer.tops, step.tops, strict=True):
                found[name] = (blob.shape, 2 if name == "label" else 0)
    return found


def products(options):
    rows = {}
    for name, pattern, inputs in (
        ("LeNet, batch 64", LENET, {"data": (1, 28, 28)}),
        ("autoencoder, batch 100", AUTOENCODER, {"data": (1, 28, 28)}),
    ):
        path = find(options.nets, pattern)
        if path is None:
            continue
        solver = solver_of(path, inputs)
        ours, alone = best([lambda s=solver: s.step(1), products_of(solver.net)], options.seconds)
        rows[name] = {"ms": ours * 1e3, "products_ms": alone * 1e3, "ratio": ours / alone}
        print(f"{name:26} {ours * 1e3:9.1f} ms {alone * 1e3:9.1f} ms products {ours / alone:7.2f}x", flush=True)
    return rows


# --- forward beside OpenCV and ONNX Runtime ---


def deploy_of(path, folder):
    """Return the net without its data, losses and side branches."""
    message = cf.read_net(path)
    if not any(layer.type == "Data" for layer in message.layer):
        return path
    kept = [
        layer
        for layer in message.layer
        if layer.type not in ("Data", "Accuracy", "SoftmaxWithLoss") and not layer.name.startswith(("loss1/", "loss2/"))
    ]
    del message.layer[:]
    message.layer.extend(kept)
    head = 'input: "data" input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }\n'
    tail = f'layer {{ name: "prob" type: "Softmax" bottom: "{kept[-1].top[0]}" top: "prob" }}\n'
    result = Path(folder) / "deploy.prototxt"
    cf.write_prototxt(result, message)
    result.write_text(head + result.read_text() + tail)
    return result


def net_of(path, threads=1):
    """Return a net with noise for weights and a batch of one image, and that image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cf.CaffeWarning)  # deploy nets have no fillers
        net = cf.Net(path, "TEST", rng=1, threads=threads)
    fill(net)
    (data,) = net.inputs
    shape = (1, *net.blobs[data].shape[1:])
    net.blobs[data].reshape(shape)
    net.reshape()
    return net, {data: np.random.default_rng(1).standard_normal(shape, np.float32)}


def in_opencv(path, net, image, folder):
    import cv2

    cv2.setNumThreads(1)
    weights = Path(folder) / "net.caffemodel"
    cf.save_weights(weights, net.params)
    theirs = cv2.dnn.readNetFromCaffe(str(path), str(weights))
    (values,) = image.values()
    return lambda: (theirs.setInput(values), theirs.forward())


def in_onnx_runtime(path, net, image, folder):
    import onnxruntime

    exported = Path(folder) / "net.onnx"
    cf.export(net, exported)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, image)


OTHERS = {"OpenCV": in_opencv, "ONNX Runtime": in_onnx_runtime}


def forward(options):
    rows, ratios = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vgg16.prototxt").write_text(vgg16())
        for name, pattern in [*ZOO.items(), ("VGG-16", "vgg16.prototxt")]:
            path = find(folder if name == "VGG-16" else options.nets, pattern)
            if path is None or (options.only and name not in options.only):
                continue
            path = deploy_of(path, folder)
            net, image = net_of(path)
            calls = {"caffe_fillers": lambda net=net, image=image: net.forward(**image)}
            for other, prepared in OTHERS.items():
                try:
                    calls[other] = prepared(path, net, image, folder)
                except ImportError:
                    print(f"{other}: NOT RUN, not installed")
            times = dict(zip(calls, best(list(calls.values()), options.seconds), strict=True))
            rows[name] = {each: seconds * 1e3 for each, seconds in times.items()}
            ours = times.pop("caffe_fillers")
            line = f"{name:16} {ours * 1e3:7.1f} ms"
            for other, seconds in times.items():
                ratios.setdefault(other, []).append(ours / seconds)
                line += f"   {other} {seconds * 1e3:7.1f} ms {ours / seconds:5.2f}x"
            print(line, flush=True)
    for other, each in ratios.items():
        rows[f"geometric mean, {other}"] = math.exp(np.mean(np.log(each)))
        print(f"geometric mean beside {other}: {rows[f'geometric mean, {other}']:.2f}x")
    return rows


def threads(options):
    """The wall time of one thread and of two: forward at batch 1, and one iteration of training."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, pattern in [*ZOO.items(), ("LeNet", LENET), ("autoencoder", AUTOENCODER)]:
            path = find(options.nets, pattern)
            if path is None or (options.only and name not in options.only):
                continue
            if name in ZOO:
                path = deploy_of(path, folder)
                (one, image), (two, _) = net_of(path, 1), net_of(path, 2)
                calls = [
                    lambda one=one, image=image: one.forward(**image),
                    lambda two=two, image=image: two.forward(**image),
                ]
            else:
                solvers = [solver_of(path, {"data": (1, 28, 28)}, count) for count in (1, 2)]
                calls = [lambda solver=solver: solver.step(1) for solver in solvers]
            first, second = best(calls, options.seconds, clock=time.perf_counter)
            rows[name] = {"one_ms": first * 1e3, "two_ms": second * 1e3, "speedup": first / second}
            print(
                f"{name:16} {first * 1e3:7.1f} ms, two threads {second * 1e3:7.1f} ms, {first / second:5.2f}x as fast"
            )
    return rows


# --- training beside PyTorch ---


def torch_of(net):
    """Return the net as calls of PyTorch's own functions, and its parameters."""
    import torch
    from torch.nn import functional as F

    parameters = {
        id(step): [torch.from_numpy(blob.data.copy()).requires_grad_() for blob in step.layer.blobs]
        for step in net.steps
    }

    def layer(step, xs):
        operation, own = step.setup.operation, parameters[id(step)]
        window = getattr(operation, "window", None)
        match operation:
            case ops.Convolution():
                return F.conv2d(xs[0], *own, stride=window.stride, padding=window.pad, groups=operation.group)
            case ops.Pooling(method="MAX"):
                return F.max_pool2d(xs[0], window.kernel, window.stride, window.pad, ceil_mode=operation.ceil)
            case ops.Pooling():
                return F.avg_pool2d(xs[0], window.kernel, window.stride, window.pad, ceil_mode=operation.ceil)
            case ops.LRN():
                return F.local_response_norm(xs[0], operation.size, operation.alpha, operation.beta, operation.k)
            case ops.ReLU():
                return F.relu(xs[0], inplace=step.tops[0] is step.bottoms[0])
            case ops.InnerProduct():
                return F.linear(xs[0].flatten(1), *own)
            case ops.Dropout():
                return F.dropout(xs[0], 0.5)
            case ops.Concat():
                return torch.cat(xs, 1)
            case ops.SoftmaxWithLoss():
                return F.cross_entropy(xs[0], xs[1])
            case _:
                return xs[0]

    def loss(given):
        values, total = dict(given), 0.0
        for step in net.steps:
            if not step.bottoms:
                continue
            xs = [values[id(blob)] for blob in step.bottoms]
            result = layer(step, xs)
            for top in step.tops:
                values[id(top)] = result
            for weight in step.losses().values():
                total = total + weight * result
        return total

    return loss, [each for some in parameters.values() for each in some]


def training(options):
    try:
        import torch
    except ImportError:
        print("training: NOT RUN, no PyTorch")
        return {}
    torch.set_num_threads(1)
    rows = {}
    for name, pattern, inputs, batch in (
        ("cifar10_quick, batch 100", "cifar10_quick_train_test.prototxt", {"data": (3, 32, 32)}, 100),
        ("GoogLeNet, batch 8", "bvlc_googlenet/train_val.prototxt", {"data": (3, 224, 224)}, 8),
    ):
        path = find(options.nets, pattern)
        if path is None or (options.only and name.split(",")[0] not in options.only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            message = cf.read_net(path)
            for layer in message.layer:
                if layer.type == "Data":
                    layer.data_param.batch_size = batch
                if layer.type == "Accuracy":
                    layer.type, layer.phase = "Silence", 1
            changed = Path(folder) / "net.prototxt"
            cf.write_prototxt(changed, message)
            solver = solver_of(changed, inputs)
            loss, parameters = torch_of(solver.net)
        rule = torch.optim.SGD(parameters, 1e-4, momentum=0.9, weight_decay=5e-4)
        values = {}
        for step in solver.net.steps:
            if not step.bottoms:
                for top, blob in zip(step.layer.tops, step.tops, strict=True):
                    values[id(blob)] = torch.from_numpy(blob.data.copy())
                    if top == "label":
                        values[id(blob)] = values[id(blob)].long()

        def theirs(rule=rule, loss=loss, values=values):
            rule.zero_grad()
            loss(values).backward()
            rule.step()

        ours, other = best([lambda s=solver: s.step(1), theirs], options.seconds)
        rows[name] = {"ms": ours * 1e3, "torch_ms": other * 1e3, "ratio": ours / other}
        print(f"{name:26} {ours * 1e3:9.1f} ms {other * 1e3:9.1f} ms PyTorch {ours / other:8.2f}x", flush=True)
    return rows


# --- what is not arithmetic ---


def overhead(options):
    text = ['layer { name: "x" type: "Input" top: "b0" input_param { shape { dim: 1 dim: 4 } } }']
    text += [
        f'layer {{ name: "l{i}" type: "InnerProduct" bottom: "b{i}" top: "b{i + 1}" '
        'inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }'
        for i in range(100)
    ]
    text.append('layer { name: "loss" type: "Reduction" bottom: "b100" top: "loss" loss_weight: 1 }')
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "net.prototxt").write_text("\n".join(text))
        net = cf.Net(Path(folder) / "net.prototxt", rng=1)
    net.blobs["b0"].data[...] = 1
    (chain,) = best([lambda: (net.forward(), net.backward())], options.seconds, 100)
    logistic = """
        layer { name: "data" type: "Input" top: "data" top: "label"
                input_param { shape { dim: 10 dim: 2 } shape { dim: 10 } } }
        layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
                inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(logistic)
        solver = solver_of(path, None)
    (step,) = best([lambda: solver.step(1)], options.seconds, 100)
    print(f"{'a tiny layer, both ways':26} {chain * 1e4:9.1f} us")
    print(f"{'a step, logistic regression':26} {step * 1e6:8.0f} us", flush=True)
    return {"us_per_layer": chain * 1e4, "us_per_step": step * 1e6}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = {"products": products, "forward": forward, "training": training, "overhead": overhead, "threads": threads}
    parser.add_argument("nets")
    parser.add_argument("--rows", nargs="+", choices=rows, default=list(rows)[:-1])
    parser.add_argument("--only", nargs="+", help="names of nets")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each row")
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    figures = {name: rows[name](options) for name in options.rows}
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
