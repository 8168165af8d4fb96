"""The list of the corpus, and the script that lays it out."""

from __future__ import annotations

import csv
import hashlib
import runpy
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("get_corpus.py")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_list_is_that_of_the_corpus(corpus: Path) -> None:
    rows = runpy.run_path(str(SCRIPT))["rows"]()
    assert len({row["place"] for row in rows}) == len(rows)
    there = {path.relative_to(corpus).as_posix() for path in corpus.rglob("*") if path.is_file()} - {"index.tsv"}
    assert {row["place"] for row in rows} == there
    for row in rows:
        assert hashlib.sha256((corpus / row["place"]).read_bytes()).hexdigest() == row["sha256"]
        assert len(row["commit"]) >= 7


def test_it_is_laid_out_from_clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "clones" / "some" / "nets"
    clone.mkdir(parents=True)
    git(clone, "init", "-q")
    (clone / "a.prototxt").write_text('name: "a"')
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "one")
    commit = git(clone, "rev-parse", "HEAD")
    sha256 = hashlib.sha256(b'name: "a"').hexdigest()
    listed = tmp_path / "list.tsv"
    rows = [
        ("files/some__a.prototxt", "some/nets", commit, "a.prototxt", sha256, "", "V2", "note"),
        ("caffe/b.prototxt", "some/nets", commit, "a.prototxt", sha256, "", "", ""),
        ("files/c.prototxt", "some/nets", commit, "a.prototxt", "0" * 64, "", "", ""),
        ("files/d.prototxt", "some/nets", commit, "none.prototxt", sha256, "", "", ""),
        ("files/e.prototxt", "other/nets", commit, "a.prototxt", sha256, "", "", ""),
    ]
    names = ("place", "repo", "commit", "path", "sha256", "category", "format", "notes")
    listed.write_text("".join("\t".join(row) + "\n" for row in (names, *rows)))
    script = runpy.run_path(str(SCRIPT))
    monkeypatch.setitem(script["lay_out"].__globals__, "LIST", listed)
    missing = script["lay_out"](tmp_path / "clones", tmp_path / "corpus")
    assert [line.split()[-1] for line in missing[:2]] == ["file", "there"]
    assert missing[2].startswith("git clone https://github.com/other/nets ")
    assert (tmp_path / "corpus/files/some__a.prototxt").read_text() == 'name: "a"'
    assert (tmp_path / "corpus/caffe/b.prototxt").exists()
    with (tmp_path / "corpus/index.tsv").open() as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert (row["file"], row["sha256"], row["notes"]) == ("some__a.prototxt", sha256, "note")
