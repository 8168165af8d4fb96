"""``python -m caffe_fillers`` is ``caffe-fillers``."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="caffe-fillers")
