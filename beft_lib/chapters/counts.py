"""Scalars counted from public configurations: what the paper's shares are shares of. No weights are needed."""

from typing import NamedTuple


class Configuration(NamedTuple):
    """What of a model's public configuration its counts follow from."""

    layers: int
    width: int
    inner: int  # of the feed-forward part
    vocabulary: int
    positions: int  # rows of the position table

    @property
    def term(self) -> int:
        """Scalars of one bias term in all layers: b_v, b_q or b_k."""
        return self.layers * self.width

    def lora(self, rank: int = 8) -> int:
        """Scalars of LoRA on the query and value projections: two matrices each."""
        return self.layers * 2 * 2 * rank * self.width

    def prefix(self, tokens: int = 5) -> int:
        """Scalars of prefix tuning without re-parametrisation: a key and a value a layer and token."""
        return self.layers * 2 * tokens * self.width


BERT_BASE = Configuration(12, 768, 3072, 28_996, 512)  # cased
OPT = {
    "opt-1.3b": Configuration(24, 2048, 8192, 50_272, 2050),
    "opt-6.7b": Configuration(32, 4096, 16_384, 50_272, 2050),
}


def bert(c: Configuration) -> int:
    """Parameters of BERT with its pooler, without a head."""
    d, f = c.width, c.inner
    embeddings = (c.vocabulary + c.positions + 2) * d + 2 * d  # tables of words, positions and segments; a LayerNorm
    layer = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 2 * 2 * d
    return embeddings + c.layers * layer + d * d + d


def bert_biases(c: Configuration) -> int:
    """All bias terms of BERT: four projections, two feed-forward matrices and two LayerNorms a layer, one LayerNorm
    behind the embeddings, and the pooler's."""
    return c.layers * (4 * c.width + c.inner + c.width + 2 * c.width) + c.width + c.width


def opt(c: Configuration) -> int:
    """Parameters of OPT: the vocabulary head is the word table."""
    d, f = c.width, c.inner
    layer = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 2 * 2 * d
    return (c.vocabulary + c.positions) * d + c.layers * layer + 2 * d
