"""Threads that share a stream, each filling by several threads; for a build under the thread sanitizer."""

import threading

import numpy as np

from caffe_fillers import _core, ops
from caffe_fillers._core import RNG
from caffe_fillers.ops import Window

for boost in ("1.54", "1.74"):
    for dtype in (np.float32, np.float64):
        for kind, first, second in (("gaussian", 0, 1), ("uniform", -1, 1), ("uniform", 0.5, 0.5)):
            rng = RNG(1, boost=boost)
            fill = getattr(rng, "fill_" + kind)
            threads = [
                threading.Thread(target=fill, args=(np.empty(150_000, dtype), first, second, 3)) for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            fill(np.empty(300_000, dtype), first, second, threads=4)
            rng.copy().skip(10**9)
            assert rng.state["state"]["pos"] <= 624
            for thread in threads:
                thread.join()

# loops of layers, each shared out among threads, at the same time
x, window = np.ones((2, 4, 200, 201), np.float32), Window.square(3, stride=2)


def share(call, *arguments):
    _core.layer_threads(4)
    for _ in range(20):
        call(*arguments)


threads = [
    threading.Thread(target=share, args=(call, *arguments))
    for call, *arguments in (
        (ops.relu, x),
        (ops.max_pool, x, window),
        (ops.im2col, x, window),
        (ops.scale, x, x[0, :, 0, 0].copy()),
    )
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("threads: no race seen")
