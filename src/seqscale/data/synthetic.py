"""Generated tasks. An example is a pure function of (seed, index), so nothing needs to be stored or shuffled."""

from dataclasses import dataclass

import numpy as np

IGNORE = -100  # the target at positions that ask nothing (PyTorch's ignore_index)


@dataclass(frozen=True)
class SelectiveCopying:
    """Selective copying (Gu & Dao 2023, arXiv 2312.00752, section 4.1.1; Jing et al. 2019).

    `n_data` tokens lie scattered among `length` positions of noise; after them come `n_data` markers, at which the
    model must say the data tokens in order. Content decides what to remember, so a time-invariant system, which
    can only count distances, is expected to fail.

    Tokens: 0 noise, 1 marker, 2 ... vocab + 1 data.
    """

    length: int
    n_data: int
    vocab: int

    @property
    def vocab_size(self) -> int:
        return self.vocab + 2

    @property
    def total_length(self) -> int:
        """Positions per example: the scattered part and the answers."""
        return self.length + self.n_data

    def examples(self, seed: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Examples start ... start + count - 1 of the stream `seed`.

        Returns:
            inputs and targets, (count, total_length), int64; targets are IGNORE but at the markers.
        """
        inputs = np.zeros((count, self.total_length), dtype=np.int64)
        targets = np.full_like(inputs, IGNORE)
        for row in range(count):
            rng = np.random.default_rng([seed, start + row])
            data = rng.integers(2, self.vocab + 2, size=self.n_data)
            places = np.sort(rng.choice(self.length, size=self.n_data, replace=False))
            inputs[row, places] = data
            inputs[row, self.length :] = 1
            targets[row, self.length :] = data
        return inputs, targets
