"""Sentiment140: tweets cleaned, labelled and split so that the balance of the labels stays."""

import csv
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqscale.data.corpora import DataError

CLASSES = ("negative", "positive")
NEUTRAL = "neutral"  # only in the hand-labelled test set; no model can say it
LABELS = {"0": "negative", "2": NEUTRAL, "4": "positive"}  # as Sentiment140 writes them
COLUMNS = 6  # label, id, date, query, user, text

_ADDRESS = re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE)
_MENTION_OR_HASHTAG = re.compile(r"[@#]\w+")
_INSIDE_A_WORD = re.compile(r"(?<=\w)['’`´](?=\w)")
_SPECIAL = re.compile(r"[^\w\s]|_")


@dataclass(frozen=True)
class Tweet:
    """A tweet: its id in the source file, its label and its text."""

    id: str
    label: str
    text: str


def clean(text: str) -> str:
    """Without addresses, mentions, hashtags and special characters, in lower case, blanks single.

    The steps of source document 003. Where it is silent: entities such as ``&amp;`` are resolved first, an apostrophe
    inside a word joins its halves (``don't`` becomes ``dont``), every other special character parts words.
    """
    text = html.unescape(text).replace("ï¿½", "'")  # what a lost character became on its way to latin-1
    for pattern, replacement in ((_ADDRESS, " "), (_MENTION_OR_HASHTAG, " "), (_INSIDE_A_WORD, ""), (_SPECIAL, " ")):
        text = pattern.sub(replacement, text)
    return " ".join(text.lower().split())


def read_tweets(data: bytes, origin: str) -> list[Tweet]:
    """The rows of a Sentiment140 file (latin-1 CSV without a header).

    Raises:
        DataError: a row without the six columns or with an unknown label, with its number.
    """
    tweets = []
    for number, row in enumerate(csv.reader(io.StringIO(data.decode("latin-1"), newline="")), 1):
        if len(row) != COLUMNS:
            raise DataError(f"{origin}, row {number}: has {len(row)} columns, not {COLUMNS}")
        if row[0] not in LABELS:
            raise DataError(f"{origin}, row {number}: the label is {row[0]!r}; known: {', '.join(LABELS)}")
        tweets.append(Tweet(row[1], LABELS[row[0]], row[5]))
    if not tweets:
        raise DataError(f"{origin} holds no tweet")
    return tweets


def cleaned(tweets: Sequence[Tweet]) -> list[Tweet]:
    """The tweets with clean texts, without those of which nothing is left."""
    return [Tweet(t.id, t.label, text) for t in tweets if (text := clean(t.text))]


def stratified_split(tweets: Sequence[Tweet], fractions: Sequence[float], seed: int) -> tuple[list[Tweet], ...]:
    """Train, valid and test, each with the share of labels of the whole (to within one tweet per label).

    Drawn with `seed` per label and put back into the file's order: the same tweets for every model and every run.
    """
    places: tuple[list[int], ...] = ([], [], [])
    for number, label in enumerate(CLASSES):
        mine = np.array([i for i, tweet in enumerate(tweets) if tweet.label == label], dtype=int)
        order = np.random.default_rng([seed, number]).permutation(mine)
        first = round(len(mine) * fractions[0])
        second = round(len(mine) * (fractions[0] + fractions[1]))
        for place, part in zip(places, (order[:first], order[first:second], order[second:]), strict=True):
            place.extend(int(i) for i in part)
    return tuple([tweets[i] for i in sorted(place)] for place in places)
