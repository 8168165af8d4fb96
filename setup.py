"""The extension module; everything else is in pyproject.toml."""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "caffe_fillers._core",
            sources=["caffe_fillers/_core.pyx", *sorted(glob("csrc/**/*.c", recursive=True))],
            include_dirs=["csrc"],
            depends=[*glob("caffe_fillers/*.pxi"), *sorted(glob("csrc/**/*.h", recursive=True))],
            # a fused multiply-add rounds once where Caffe rounded twice
            extra_compile_args=["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
        )
    ]
)
