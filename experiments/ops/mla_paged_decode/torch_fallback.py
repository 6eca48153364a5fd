"""mla_paged_decode in plain torch: what a torch package calls for shapes that were not verified.

Lengths are read on the host, so this can't be captured in a graph.
"""
import math

import torch


def run(constants, q_nope, q_rope, cache, kv_indptr, kv_indices, kv_last_page_len):
    batch, heads, latent = q_nope.shape
    page, width = cache.shape[1], cache.shape[2]
    out = torch.zeros_like(q_nope)
    lse = torch.full((batch, heads), -math.inf, dtype=torch.float32, device=cache.device)
    starts, last = kv_indptr.tolist(), kv_last_page_len.tolist()
    for b in range(batch):
        pages = kv_indices[starts[b]:starts[b + 1]].long()
        if len(pages) == 0:
            continue
        length = (len(pages) - 1) * page + last[b]
        rows = cache[pages].reshape(-1, width)[:length].float()
        query = torch.cat([q_nope[b], q_rope[b]], -1).float()
        logits = query @ rows.T * constants["sm_scale"]
        lse[b] = torch.logsumexp(logits, -1) * math.log2(math.e)
        out[b] = logits.softmax(-1) @ rows[:, :latent]
    return out, lse
