"""Where b_q, b_k, b_v and every other bias live in a Hugging Face model, and how to train just some of them.

There is one mechanism: a bias is trained in place. A projection without a bias is first given a zero one,
which changes no output, and the bias of a fused projection is a set of positions in the fused vector. The
model keeps its classes and forwards, so saving, generation and other libraries work on it as before.

    attention_biases, all_biases, term_biases, terms    find handles (`handles`)
    projections                                         those of all other projections, also where there is none
    outputs                                             b_o, and the matrix that takes b_v there
    train_only, trainable_scalars                       choose what trains (`training`)
    snapshot, restore                                   copy values out and back
    keep                                                make added biases survive save_pretrained (`keeping`)
    unwrapped                                           the model inside torch.compile's wrapper (`layouts`)
    register_layout, Layout                             add an architecture (`beft_lib.models.architectures`)

Shapes: h query heads, g key/value heads (fewer than h where queries are grouped), d width of a head. In a
layer b_q has h·d scalars, and b_k and b_v have g·d each.

What b_k and b_v can do is decided by softmax (the first point is proved by Namazifar et al. 2023, arXiv
2302.08626; both are tested here):

1. b_k adds q_i·b_k to every score of query i, and softmax does not see a shift. With absolute positions
   (BERT, RoBERTa, DistilBERT, ELECTRA, OPT, GPT-2) or positions that only add to the scores (the relative
   bias of MPNet and T5, BLOOM's ALiBi) no output depends on b_k: its gradient is zero up to rounding. It is
   live where a key is transformed after the bias is added, by rotation (Llama, Mistral, Gemma, Qwen2, Phi-3;
   in Phi, GPT-J and GPT-NeoX only the rotated dimensions of each head) or by a norm and rotation (Qwen3); and
   in DeBERTa with position-to-content scores, which multiply a key by a vector that varies with its position.
2. b_v adds one vector to every value and attention weights sum to 1, so it adds W_o b_v to the output:
   (b_v + δ) and (b_o + W_o δ) give the same logits, and ∇b_v = W_oᵀ ∇b_o. Where queries are grouped, each
   head's part of δ is repeated h/g times. Dropout of attention weights breaks the sum: this is eval mode.

Differs from the authors' code in: 1. a bias is found by architecture, not by a substring of its name;
2. fused and bias-free projections are supported. Differs from PEFT's BEFT in: 1. the model's own bias moves,
where PEFT wraps `nn.Linear` and adds a second vector to its output (the same function when the two sum to
ours); 2. fused projections are supported, and those that are not `nn.Linear`. (Paper, §2.)
"""

from beft_lib.biases.handles import (
    AttentionBiases,
    Bias,
    Output,
    all_biases,
    attention_biases,
    is_projection,
    outputs,
    projections,
    term_biases,
    terms,
)
from beft_lib.biases.keeping import keep
from beft_lib.biases.layouts import unwrapped
from beft_lib.biases.training import restore, snapshot, train_only, trainable_scalars
from beft_lib.models.architectures import Layout, contiguous, interleaved, register_layout

__all__ = [
    "AttentionBiases",
    "Bias",
    "Layout",
    "Output",
    "all_biases",
    "attention_biases",
    "contiguous",
    "interleaved",
    "is_projection",
    "keep",
    "outputs",
    "projections",
    "register_layout",
    "restore",
    "snapshot",
    "term_biases",
    "terms",
    "train_only",
    "trainable_scalars",
    "unwrapped",
]
