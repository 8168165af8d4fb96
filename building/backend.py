"""Builds with setuptools, after a check that the build can succeed."""

import os
import shlex
import shutil
import sys
import sysconfig

NEEDED = ["setuptools>=77.0.3", "Cython>=3.1"]


def _check():
    # syntax of old Python versions, so that they can print the error
    if sys.version_info < (3, 11):  # noqa: UP036
        raise SystemExit("caffe_fillers needs Python 3.11 or later; this is " + sys.version.split()[0])
    if sysconfig.get_platform().startswith("win"):
        return  # setuptools finds the compiler of Visual Studio
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    lacking = []
    if shutil.which(compiler) is None:
        lacking.append("a C compiler, " + compiler + " (apt install gcc)")
    if not os.path.exists(header):
        lacking.append("Python.h (apt install python3-dev)")
    if lacking:
        raise SystemExit("caffe_fillers is built here and needs " + " and ".join(lacking))


def _meta():
    from setuptools import build_meta

    return build_meta


def get_requires_for_build_wheel(config_settings=None):
    _check()
    return NEEDED


get_requires_for_build_editable = get_requires_for_build_wheel


def get_requires_for_build_sdist(config_settings=None):
    return NEEDED


def prepare_metadata_for_build_wheel(*args, **options):
    return _meta().prepare_metadata_for_build_wheel(*args, **options)


def prepare_metadata_for_build_editable(*args, **options):
    return _meta().prepare_metadata_for_build_editable(*args, **options)


def build_wheel(*args, **options):
    _check()
    return _meta().build_wheel(*args, **options)


def build_editable(*args, **options):
    _check()
    return _meta().build_editable(*args, **options)


def build_sdist(*args, **options):
    return _meta().build_sdist(*args, **options)
