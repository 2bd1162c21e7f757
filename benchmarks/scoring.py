"""How fast are options scored, against a loop that behaves as MeZO's (which the authors use) does?

    python benchmarks/scoring.py --data local:DIR            (real SST-2; or --task toy-sentiment-prompt --data bundled)

Both score the same examples with the same model, in turns in this process, on all cores: zero-shot, and after a fixed
set of demonstrations. The baseline runs one option at a time without padding, computes the logits of the whole
vocabulary at every position, and shares nothing between options or examples; it is written for this comparison, after
the description of their loop. It is also an independent computation of every score, so the two are compared example by
example: the share of equal predictions and the largest difference of a score.

Printed: examples per second and their ratio, over `--repeats` turns.
"""

import argparse
import statistics
import time

import numpy as np
import torch

from beft_lib import models, tasks, workspace
from beft_lib.tuning import option_scores, prompt_tokens


@torch.no_grad()
def baseline(model, data: prompt_tokens.Choices) -> list[np.ndarray]:
    """Mean log-probabilities of the options' tokens, one plain forward pass an option."""
    found = []
    for own in data.options:
        scores = []
        for ids, start in own:
            tokens = torch.tensor([ids])
            likely = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, :-1].log_softmax(-1)
            read = likely.gather(-1, tokens[0, 1:, None]).squeeze(-1)
            scores.append(read[start - 1 :].mean().item())
        found.append(np.array(scores))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--task", default="sst2-prompt")
    parser.add_argument("--data", default="hub", help="hub, bundled or local:DIR")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument(
        "--shots", type=int, nargs="+", default=[0, 16], help="demonstrations, a fixed set of each number"
    )
    parser.add_argument("--n", type=int, nargs="+", default=[100, 40], help="examples, a number for each of --shots")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=workspace.cores())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    task = tasks.get(arguments.task)
    pool, held_out = (tasks.load(task, split, arguments.data) for split in (task.train, task.validation[0].split))
    tokenizer, model = models.tokenizer(arguments.model), models.causal(arguments.model)
    print(f"{arguments.model}, {arguments.task}, {arguments.threads} threads, {arguments.repeats} turns")
    for shots, n in zip(arguments.shots, arguments.n, strict=True):
        rows = np.sort(np.random.default_rng(0).permutation(len(held_out))[:n])
        shown = prompt_tokens.Demonstrations(pool, shots, task.separator, True, 0) if shots else None
        data = prompt_tokens.choices(tokenizer, held_out.take(rows), task.max_length, shown)
        seconds: dict[str, list[float]] = {"baseline": [], "ours": []}
        for _ in range(arguments.repeats):
            for name, score in (("baseline", baseline), ("ours", option_scores.option_scores)):
                started = time.perf_counter()
                found = score(model, data)
                seconds[name].append(time.perf_counter() - started)
                if name == "baseline":
                    expected = found
        equal = np.mean([a.argmax() == b.argmax() for a, b in zip(found, expected)])
        apart = max(np.abs(a - b).max() for a, b in zip(found, expected))
        ratios = [slow / fast for slow, fast in zip(seconds["baseline"], seconds["ours"])]
        print(
            f"{shots:3} shots, {data.lengths.mean():6.1f} tokens a sequence, n = {len(data)}: baseline "
            f"{len(data) / statistics.median(seconds['baseline']):6.2f} examples/s, ours "
            f"{len(data) / statistics.median(seconds['ours']):6.2f}; {statistics.median(ratios):5.1f}x "
            f"[{min(ratios):.1f}, {max(ratios):.1f}]; same prediction {equal:.1%}, scores at most {apart:.1e} apart",
            flush=True,
        )


if __name__ == "__main__":
    main()
