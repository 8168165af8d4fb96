"""Fuzz one target under atheris: `python tests/fuzz/fuzz.py TARGET SECONDS [FOLDER]`.

The last line says what was tried: target, inputs, coverage, seconds, faults. An input that breaks something is kept in
FOLDER (default: a new one in the system's folder for temporary files) and named.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*|-?[0-9.][0-9a-fA-FxXeE.+-]*|\"[^\"\n]*\"|[{}<>\[\]:,;#]|\s+|.", re.DOTALL)
NUMBERS = (
    b"0 1 -1 2 3 4 7 33 2147483647 -2147483648 4294967295 4294967296 65536 1e38 1e39 -inf nan 0x7fffffff 07".split()
)


def dictionary(path: Path) -> None:
    """The names that a prototxt can hold, for the mutations."""
    from caffe_fillers import schema
    from caffe_fillers.layers.rule import RULES

    words = {"layer {", "layers {", "}", "input: ", "type: ", *map(bytes.decode, NUMBERS)}
    words.update(f'"{name}"' for name in RULES)
    for message in _messages(schema):
        words.update(field.name for field in message.fields)
        words.update(value.name for enum in message.enum_types for value in enum.values)
    lines = ('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in sorted(words))
    path.write_text("\n".join(lines) + "\n")


def _messages(schema):
    return schema.NetParameter.DESCRIPTOR.file.message_types_by_name.values()


def mutate_text(data: bytes, limit: int, seed: int) -> bytes:
    """Change a prototxt by its words and lines, so that most results still read."""
    import atheris

    dice = random.Random(seed)
    if dice.random() < 0.3:
        return atheris.Mutate(data, limit)
    for _ in range(dice.choice((1, 1, 2, 4))):
        if dice.random() < 0.5:
            lines = data.split(b"\n")
            at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
            size = dice.choice((1, 1, 2, 5, 12))
            part = lines[at : at + size]
            mutation = dice.randrange(4)
            if mutation != 1:
                del lines[at : at + size]
            if mutation:
                lines[other:other] = part
            data = b"\n".join(lines)
        else:
            words = WORDS.findall(data)
            if not words:
                break
            at = dice.randrange(len(words))
            if words[at][:1].isdigit() or words[at][:1] == b"-" or dice.random() < 0.1:
                words[at] = dice.choice(NUMBERS)
            else:
                words[at] = dice.choice(words)
            data = b"".join(words)
    return data[:limit]


def child(name: str, folder: Path, arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["caffe_fillers"]):
        import targets
    inputs = folder / "seeds"
    inputs.mkdir(exist_ok=True)
    for index, seed in enumerate(targets.seeds(name)):
        (inputs / f"{index:04}").write_bytes(seed)
    (folder / "kept").mkdir(exist_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    os.chdir(folder / "work")  # paths in a mutated prototxt lead nowhere
    options = [f"-artifact_prefix={folder}/", "-max_len=65536", "-timeout=20", "-rss_limit_mb=2048"]
    options += ["-malloc_limit_mb=512", "-print_final_stats=1", f"{folder}/kept", str(inputs)]
    more = {}
    if name in ("prototxt", "upgrade", "net"):
        dictionary(folder / "dictionary")
        options.append(f"-dict={folder}/dictionary")
        more["custom_mutator"] = mutate_text
    if "FUZZ_SEED" in os.environ:
        options.append(f"-seed={os.environ['FUZZ_SEED']}")
    atheris.Setup([sys.argv[0], *arguments, *options], lambda data: targets.run(name, data), **more)
    atheris.Fuzz()


def main() -> int:
    name, seconds = sys.argv[1], int(sys.argv[2])
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix=f"fuzz-{name}-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as out:
        command = [sys.executable, __file__, "--child", name, str(folder), f"-max_total_time={seconds}"]
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode
    text = log.read_text(errors="replace")
    tried = [int(n) for n in re.findall(r"^(?:#|stat::number_of_executed_units:\s*)(\d+)", text, re.M)]
    covered = re.findall(r"cov: (\d+)", text)
    faults = [path for path in folder.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-"))]
    if code:
        print(*faults, text[-3000:], sep="\n")
    inputs, branches = max(tried, default=0), covered[-1] if covered else "?"
    print(name, f"{inputs} inputs", f"{branches} branches", f"{seconds} s", f"{len(faults)} faults", sep="\t")
    return int(bool(code))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    if sys.argv[1] == "--child":
        child(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    else:
        sys.exit(main())
