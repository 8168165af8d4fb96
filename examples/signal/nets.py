"""Write the prototxts that docs/signal.md looks at: VGG-19, ResNet-50, GoogLeNet, and plain stacks of layers.

    python examples/signal/nets.py FOLDER [--weight-filler 'type: "msra"']

Each net is a function from its fillers to text, made of two or three kinds of blocks, so that another filler or depth
is one argument away. The nets are for looking at: they have an Input layer, no data and no loss.
"""

from __future__ import annotations

import argparse
from pathlib import Path

ZERO = 'bias_filler { type: "constant" }'


class Text:
    """A prototxt that grows; every method adds a layer and returns its top's name."""

    def __init__(self, name: str, shape: tuple[int, ...], filler: str) -> None:
        self.filler = filler
        self.lines = [f'name: "{name}"']
        dims = " ".join(f"dim: {dim}" for dim in shape)
        self.layer("data", "Input", [], "data", f"input_param {{ shape {{ {dims} }} }}")

    def layer(self, name: str, kind: str, bottoms: list[str], top: str, rest: str = "") -> str:
        names = "".join(f' bottom: "{bottom}"' for bottom in bottoms)
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}"{names} top: "{top}" {rest} }}'.replace("  ", " "))
        return top

    def conv(self, name: str, bottom: str, outputs: int, kernel: int, *, stride: int = 1, bias: bool = True) -> str:
        param = f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {kernel // 2}"
        fillers = f"weight_filler {{ {self.filler} }} " + (ZERO if bias else "bias_term: false")
        return self.layer(name, "Convolution", [bottom], name, f"convolution_param {{ {param} {fillers} }}")

    def dense(self, name: str, bottom: str, outputs: int) -> str:
        param = f"num_output: {outputs} weight_filler {{ {self.filler} }} {ZERO}"
        return self.layer(name, "InnerProduct", [bottom], name, f"inner_product_param {{ {param} }}")

    def act(self, bottom: str, kind: str = "ReLU") -> str:
        return self.layer(f"{bottom}_{kind.lower()}", kind, [bottom], bottom)

    def norm(self, bottom: str) -> str:
        self.layer(f"{bottom}_bn", "BatchNorm", [bottom], bottom)
        return self.layer(f"{bottom}_scale", "Scale", [bottom], bottom, "scale_param { bias_term: true }")

    def pool(self, name: str, bottom: str, rest: str) -> str:
        return self.layer(name, "Pooling", [bottom], name, f"pooling_param {{ {rest} }}")

    def drop(self, bottom: str, ratio: float) -> str:
        return self.layer(f"{bottom}_drop", "Dropout", [bottom], bottom, f"dropout_param {{ dropout_ratio: {ratio} }}")

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def plain(depth: int, filler: str, activation: str = "ReLU", width: int = 512) -> str:
    """`depth` InnerProducts of one width, each with the activation behind it."""
    net = Text(f"plain {depth} {activation}", (64, width), filler)
    top = "data"
    for i in range(1, depth + 1):
        top = net.act(net.dense(f"ip{i}", top, width), activation)
    return str(net)


def vgg(filler: str = 'type: "gaussian" std: 0.01', blocks: tuple[int, ...] = (2, 2, 4, 4, 4)) -> str:
    """VGG-19 (Simonyan and Zisserman 2015) with the Gaussian of AlexNet, which most prototxts of its time have."""
    net = Text(f"VGG-{sum(blocks) + 3}", (1, 3, 224, 224), filler)
    top = "data"
    for i, (layers, outputs) in enumerate(zip(blocks, (64, 128, 256, 512, 512), strict=True), 1):
        for j in range(1, layers + 1):
            top = net.act(net.conv(f"conv{i}_{j}", top, outputs, 3))
        top = net.pool(f"pool{i}", top, "pool: MAX kernel_size: 2 stride: 2")
    for name in ("fc6", "fc7"):
        top = net.drop(net.act(net.dense(name, top, 4096)), 0.5)
    net.dense("fc8", top, 1000)
    return str(net)


def resnet(filler: str = 'type: "msra"', blocks: tuple[int, ...] = (3, 4, 6, 3)) -> str:
    """ResNet-50 (He et al. 2016): three convolutions a block, each normalised, and a way around."""
    net = Text(f"ResNet-{3 * sum(blocks) + 2}", (2, 3, 224, 224), filler)
    top = net.act(net.norm(net.conv("conv1", "data", 64, 7, stride=2, bias=False)))
    top = net.pool("pool1", top, "pool: MAX kernel_size: 3 stride: 2")
    for i, count in enumerate(blocks):
        inner = 64 * 2**i
        for j in range(count):
            name, stride = f"res{i + 2}{chr(97 + j)}", 2 if i and not j else 1
            around = top
            if not j:
                around = net.norm(net.conv(f"{name}_1", top, 4 * inner, 1, stride=stride, bias=False))
            top = net.act(net.norm(net.conv(f"{name}_2a", top, inner, 1, stride=stride, bias=False)))
            top = net.act(net.norm(net.conv(f"{name}_2b", top, inner, 3, bias=False)))
            top = net.norm(net.conv(f"{name}_2c", top, 4 * inner, 1, bias=False))
            top = net.act(net.layer(name, "Eltwise", [around, top], name))
    top = net.pool("pool5", top, "pool: AVE global_pooling: true")
    net.dense("fc1000", top, 1000)
    return str(net)


# outputs of an inception block: 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; behind the pooling
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(filler: str = 'type: "xavier"') -> str:
    """GoogLeNet (Szegedy et al. 2015) without its two classifiers on the way."""
    net = Text("GoogLeNet", (2, 3, 224, 224), filler)
    norm = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    top = net.act(net.conv("conv1", "data", 64, 7, stride=2))
    top = net.pool("pool1", top, "pool: MAX kernel_size: 3 stride: 2")
    top = net.layer("norm1", "LRN", [top], "norm1", norm)
    top = net.act(net.conv("conv2_reduce", top, 64, 1))
    top = net.act(net.conv("conv2", top, 192, 3))
    top = net.layer("norm2", "LRN", [top], "norm2", norm)
    top = net.pool("pool2", top, "pool: MAX kernel_size: 3 stride: 2")
    for name, (one, reduce3, three, reduce5, five, pooled) in INCEPTIONS.items():
        part = f"inception_{name}"
        ways = [net.act(net.conv(f"{part}_1x1", top, one, 1))]
        ways.append(
            net.act(net.conv(f"{part}_3x3", net.act(net.conv(f"{part}_3x3_reduce", top, reduce3, 1)), three, 3))
        )
        ways.append(net.act(net.conv(f"{part}_5x5", net.act(net.conv(f"{part}_5x5_reduce", top, reduce5, 1)), five, 5)))
        pool = net.pool(f"{part}_pool", top, "pool: MAX kernel_size: 3 stride: 1 pad: 1")
        ways.append(net.act(net.conv(f"{part}_pool_proj", pool, pooled, 1)))
        top = net.layer(part, "Concat", ways, part)
        if name in ("3b", "4e"):
            top = net.pool(f"pool{name[0]}", top, "pool: MAX kernel_size: 3 stride: 2")
    top = net.drop(net.pool("pool5", top, "pool: AVE global_pooling: true"), 0.4)
    net.dense("classifier", top, 1000)
    return str(net)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weight-filler", help="in place of each net's own, such as 'type: \"msra\"'")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    given = [arguments.weight_filler] if arguments.weight_filler else []
    for name, text in {
        "vgg19": vgg(*given),
        "resnet50": resnet(*given),
        "googlenet": googlenet(*given),
        "plain30": plain(30, *(given or ['type: "xavier"'])),
    }.items():
        path = arguments.folder / f"{name}.prototxt"
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
