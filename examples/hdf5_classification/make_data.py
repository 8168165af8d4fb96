"""Make the data of the logistic regression: 10,000 points of four features, as HDF5, and the lists that name the files.

python examples/hdf5_classification/make_data.py
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from sklearn.datasets import make_classification

FOLDER = Path("examples/hdf5_classification/data")


def make(folder: Path, listed: Path) -> None:
    """Write train.h5 and test.h5 to `folder`, and train.txt and test.txt, which name them as files in `listed`."""
    features, labels = make_classification(
        n_samples=10000,
        n_features=4,
        n_redundant=0,
        n_informative=2,
        n_clusters_per_class=2,
        hypercube=False,
        random_state=0,
    )
    for name, rows in (("train", slice(7500)), ("test", slice(7500, None))):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["data"] = features[rows].astype(np.float32)
            file["label"] = labels[rows].astype(np.float32)
        (folder / f"{name}.txt").write_text(f"{(listed / name).as_posix()}.h5\n")
        print(f"wrote {folder / name}.h5: {len(labels[rows]):,} rows")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    make(FOLDER, FOLDER)


if __name__ == "__main__":
    main()
