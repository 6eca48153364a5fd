#!/usr/bin/env python3
"""Time PyTorch's CPU attention (from PyPI) on the shapes of a gqa_paged_decode suite; prints JSON.

    python3 tests/bench/torch_cpu_attention.py experiments/ops/gqa_paged_decode/suites/quickstart.json --threads 2

PyTorch has no paged cache: keys and values are laid out contiguously beforehand, which flatters it. Each sequence of a ragged
batch is one call of scaled_dot_product_attention(enable_gqa=True); equal lengths are one call. Before each timed call the
caches are flushed by touching `--flush-mib`; the figure is the median.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as functional


def lengths(dims):
    """Equal lengths where they divide; else a descending ragged batch of the same total."""
    batch, total = dims["batch"], dims["total_kv"]
    if total % batch == 0:
        return [total // batch] * batch
    weights = list(range(batch, 0, -1))
    out = [total * weight // sum(weights) for weight in weights]
    out[0] += total - sum(out)
    return out


def measure(dims, samples, flush):
    shape = (dims["heads"], dims["kv_heads"], dims["head_dim"])
    heads, kv_heads, depth = shape
    groups = {}
    for length in lengths(dims):
        groups[length] = groups.get(length, 0) + 1
    calls = [
        (torch.randn(count, heads, 1, depth), torch.randn(count, kv_heads, length, depth), torch.randn(count, kv_heads, length, depth))
        for length, count in groups.items()
    ]
    times = []
    for i in range(samples + 3):
        flush.add_(1.0)
        start = time.perf_counter()
        for query, key, value in calls:
            functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
        if i >= 3:
            times.append(time.perf_counter() - start)
    return statistics.median(times), min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("--threads", type=int, default=0, help="0: torch's default")
    parser.add_argument("--samples", type=int, default=31)
    parser.add_argument("--flush-mib", type=int, default=64)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with open(arguments.suite, encoding="utf-8") as file:
        suite = json.load(file)
    flush = torch.zeros(arguments.flush_mib * (1 << 18))
    rows = []
    with torch.inference_mode():
        for workload in suite["workloads"]:
            median, least = measure(workload["dims"], arguments.samples, flush)
            rows.append({"workload": workload["name"], "us": round(median * 1e6, 1), "us_min": round(least * 1e6, 1)})
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "rows": rows}))


if __name__ == "__main__":
    main()
