"""The extension module; everything else is in pyproject.toml."""

import sysconfig
from glob import glob

from setuptools import Extension, setup

# A fused multiply-add rounds once where Caffe rounded twice. In ISO C11 proper gcc computes floats in double on s390x.
# Debugging symbols contain the folder of the build, so each build would give another file.
flags = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-g0"]
if sysconfig.get_platform().startswith("win"):
    flags = ["/O2", "/std:c11", "/experimental:c11atomics", "/fp:precise"]

setup(
    ext_modules=[
        Extension(
            "caffe_fillers._core",
            sources=["caffe_fillers/_core.pyx", *sorted(glob("csrc/**/*.c", recursive=True))],
            include_dirs=["csrc"],
            depends=[*glob("caffe_fillers/*.px[di]"), *sorted(glob("csrc/**/*.[hi]*", recursive=True))],
            extra_compile_args=flags,
        )
    ]
)
