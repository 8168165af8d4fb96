"""Lays out the corpus of real prototxts, which is other people's and so no part of this repository.

    python tests/get_corpus.py CLONES CORPUS

`CLONES` holds git clones as OWNER/NAME (bare ones will do) of the repositories that tests/corpus_files.tsv lists; those
that are missing are named, with the command that clones them. Each file is taken at its commit, held to its SHA-256,
and written to CORPUS, where the tests find it once CAFFE_FILLERS_CORPUS says so:

    CAFFE_FILLERS_CORPUS=CORPUS pytest
"""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LIST = Path(__file__).with_name("corpus_files.tsv")
INDEX = ("file", "repo", "path", "commit", "category", "format", "notes", "sha256")


def rows() -> list[dict[str, str]]:
    """Return the files of the corpus: each one's place and origin."""
    with LIST.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def held(clone: Path, commit: str, path: str) -> bytes | None:
    """A file of a clone at a commit, or None where the clone lacks it."""
    done = subprocess.run(["git", "-C", str(clone), "show", f"{commit}:{path}"], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def lay_out(clones: Path, corpus: Path) -> list[str]:
    """Write what can be had; return a line for each file or clone that is missing or other than it was."""
    missing: dict[str, None] = {}
    laid = []
    for row in rows():
        clone = clones / row["repo"]
        if not clone.is_dir():
            missing[f"git clone https://github.com/{row['repo']} {clone}"] = None
            continue
        data = held(clone, row["commit"], row["path"])
        if data is None or hashlib.sha256(data).hexdigest() != row["sha256"]:
            what = "is not there" if data is None else "is another file"
            missing[f"{row['repo']}: {row['path']} at {row['commit']} {what}"] = None
            continue
        place = corpus / row["place"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        laid.append(row)
    if laid:
        with (corpus / "index.tsv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, delimiter="\t", lineterminator="\n")
            table.writerow(INDEX)
            for row in laid:
                folder, _, name = row["place"].partition("/")
                if folder == "files":
                    table.writerow([{**row, "file": name}[column] for column in INDEX])
    return list(missing)


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 2:
        print(__doc__)
        return 2
    clones, corpus = map(Path, arguments)
    missing = lay_out(clones, corpus)
    print(*missing, sep="\n" if missing else "")
    print(f"{len(missing)} things missing" if missing else f"the whole corpus is in {corpus}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
