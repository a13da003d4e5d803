"""Small stand-ins for the public corpora: files of the same form, in a folder that serves as a mirror.

The bytes differ from the pinned ones, so the checksums, lengths and expectations of config/datasets.yaml are replaced
in a copy of it.
"""

import csv
import hashlib
import io
import random
from pathlib import Path
from typing import Any

import yaml
from tokenizers.implementations import ByteLevelBPETokenizer

SENTENCE = "the game was played by <unk> in 1994 and it is a good album of great songs , but not all are sad ."
WORDS = SENTENCE.split(" ")
GOOD, BAD = ("love", "great", "happy", "thanks"), ("hate", "sad", "sick", "awful")


def lines(count: int, seed: int) -> str:
    """Lines as in WikiText: headings, paragraphs, blank lines; every line begins and ends with a blank."""
    draw = random.Random(seed)
    text = []
    for number in range(count):
        if number % 4 == 0:
            text += [" ", f" = {draw.choice(WORDS).title()} = ", " "]
        text.append(f" {' '.join(draw.choices(WORDS, k=draw.randint(5, 25)))} ")
    return "\n".join(text) + "\n"


def tweets(count: int, seed: int, labels: tuple[str, ...]) -> bytes:
    """Rows of a Sentiment140 file: latin-1 CSV, every field in quotes."""
    draw = random.Random(seed)
    handle = io.StringIO()
    writer = csv.writer(handle, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for number in range(count):
        label = labels[number % len(labels)]
        word = draw.choice({"0": BAD, "4": GOOD}.get(label, WORDS))
        text = (
            f"@someone http://x.yz {word.upper()}!! {' '.join(draw.choices(WORDS, k=draw.randint(1, 20)))} caf\xe9 #tag"
        )
        writer.writerow((label, number, "", "", "-", text))
    return handle.getvalue().encode("latin-1")


def make_mirror(folder: Path) -> Path:
    """All files that config/datasets.yaml names, but for the archive of the whole Sentiment140."""
    texts = {
        "tiny_shakespeare/input.txt": lines(400, 0),
        **{f"wikitext-2/{split}.txt": lines(120, i) for i, split in enumerate(("train", "valid", "test"))},
        **{
            f"ptb/ptb.{split}.txt": lines(120, i + 9).replace("=", "N")
            for i, split in enumerate(("train", "valid", "test"))
        },
        "tokenizers/bert-base-uncased/vocab.txt": "\n".join(bert_vocabulary()) + "\n",
    }
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (folder / "sentiment140").mkdir()
    (folder / "sentiment140/train_sample.csv").write_bytes(tweets(600, 0, ("0", "4")))
    (folder / "sentiment140/test_manual.csv").write_bytes(tweets(60, 1, ("0", "2", "4")))
    (folder / "tokenizers/gpt2").mkdir()
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([texts["wikitext-2/train.txt"]], vocab_size=300, show_progress=False)
    bpe.save_model(str(folder / "tokenizers/gpt2"))
    return folder


def bert_vocabulary() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*special, *letters, *(f"##{c}" for c in letters), *GOOD, *BAD, "game", "good", "album", "songs", "##ing"]


def stand_in(datasets: dict[str, Any], mirror: Path) -> dict[str, Any]:
    """The entries of datasets.yaml with the stand-ins' checksums and lengths, expecting nothing."""
    for entry in datasets.values():
        entry.pop("expect", None)
        for file in [*entry.get("files", {}).values(), *entry.get("tokenizer_files", {}).values()]:
            place = mirror / file["path"]
            if place.is_file():
                file["sha256"] = hashlib.sha256(place.read_bytes()).hexdigest()
        if "lengths" in entry:
            total = len((mirror / entry["files"]["text"]["path"]).read_text(encoding="utf-8")) - 2
            part = total // 10
            entry["lengths"] = [total - 2 * part, part, part]
    return datasets


def write_stand_in(file: Path, mirror: Path) -> None:
    """Replace a copy of config/datasets.yaml by the stand-ins' version."""
    file.write_text(yaml.safe_dump(stand_in(yaml.safe_load(file.read_text()), mirror), sort_keys=False))
