"""gqa_paged_decode in plain torch: what a torch package calls for shapes that were not verified.

Lengths are read on the host, so this can't be captured in a graph.
"""
import math

import torch


def run(constants, q, k_cache, v_cache, kv_indptr, kv_indices, kv_last_page_len):
    batch, heads, width = q.shape
    page, kv_heads = k_cache.shape[1], k_cache.shape[2]
    out = torch.zeros_like(q)
    lse = torch.full((batch, heads), -math.inf, dtype=torch.float32, device=q.device)
    starts, last = kv_indptr.tolist(), kv_last_page_len.tolist()
    for b in range(batch):
        pages = kv_indices[starts[b]:starts[b + 1]].long()
        if len(pages) == 0:
            continue
        length = (len(pages) - 1) * page + last[b]
        k = k_cache[pages].reshape(-1, kv_heads, width)[:length].float()
        v = v_cache[pages].reshape(-1, kv_heads, width)[:length].float()
        mine = q[b].float().view(kv_heads, heads // kv_heads, width)
        logits = torch.einsum("hgd,thd->hgt", mine, k) * constants["sm_scale"]
        lse[b] = torch.logsumexp(logits, -1).flatten() * math.log2(math.e)
        out[b] = torch.einsum("hgt,thd->hgd", logits.softmax(-1), v).reshape(heads, width)
    return out, lse
