"""torch's causal attention over dense keys and values: what a user gets without a paged kernel.

The pages are gathered into [batch, kv_heads, length, head_dim] before each launch, outside the
timed graph, which flatters the opponent. Queries stay where they lie. torch knows one length a
batch, and aligns the mask at the start: a prefix of keys before the queries is beyond it.
"""
import os

import coppice_opponent as opponent
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}


class DensePrefill:
    outputs = ("out",)

    def __init__(self, case):
        dims = case.dims
        self.batch, self.heads, self.width = dims["batch"], dims["heads"], dims["head_dim"]
        self.kv_heads, self.page = dims["kv_heads"], dims["page_size"]
        starts, last = case.host("kv_indptr"), case.host("kv_last_page_len")
        queries = case.host("qo_indptr")
        keys = {(b - a - 1) * self.page + n for a, b, n in zip(starts, starts[1:], last)}
        if len(keys) != 1 or keys != {b - a for a, b in zip(queries, queries[1:])}:
            raise opponent.Unsupported("sequences of several lengths, or with a prefix, need a paged kernel")
        self.length = keys.pop()
        self.page_rows = -(-self.length // self.page) * self.page
        self.scale = case.constants["sm_scale"]
        self.backend = BACKENDS[os.environ.get("COPPICE_SDPA", "cudnn")]
        self.pages = case.tensors["kv_indices"].long()
        self.q = case.tensors["q"].view(self.batch, self.length, self.heads, self.width).transpose(1, 2)
        self.cache = case.tensors["k_cache"], case.tensors["v_cache"]
        if "dense" not in case.shared:
            shape = (self.batch, self.kv_heads, self.length, self.width)
            case.shared["dense"] = [torch.empty(shape, dtype=self.q.dtype, device="cuda")
                                    for _ in self.cache]
            case.shared["details"] = {"layout": "contiguous copy, not timed"}
        self.dense = case.shared["dense"]

    def pack(self):
        for cache, dense in zip(self.cache, self.dense):
            rows = cache[self.pages].view(self.batch, self.page_rows, self.kv_heads, self.width)
            dense.copy_(rows[:, :self.length].transpose(1, 2))

    def run(self):
        with sdpa_kernel(self.backend):
            out = F.scaled_dot_product_attention(self.q, *self.dense, is_causal=True,
                                                 scale=self.scale, enable_gqa=True)
        return {"out": out.transpose(1, 2)}


opponent.serve(DensePrefill)
