"""torch's attention over dense keys and values: what a user gets without a paged kernel.

The pages are gathered into [batch, kv_heads, length, head_dim] before each launch, outside the
timed graph, which flatters the opponent.
"""
import os

import coppice_opponent as opponent
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}


class DenseAttention:
    outputs = ("out",)

    def __init__(self, case):
        dims = case.dims
        self.batch, self.heads, self.width = dims["batch"], dims["heads"], dims["head_dim"]
        self.kv_heads, self.page = dims["kv_heads"], dims["page_size"]
        starts, last = case.host("kv_indptr"), case.host("kv_last_page_len")
        lengths = {(b - a - 1) * self.page + n for a, b, n in zip(starts, starts[1:], last)}
        if len(lengths) != 1 or last[0] != self.page:
            raise opponent.Unsupported("sequences of several lengths need a paged kernel")
        self.length = lengths.pop()
        self.scale = case.constants["sm_scale"]
        self.backend = BACKENDS[os.environ.get("COPPICE_SDPA", "cudnn")]
        self.pages = case.tensors["kv_indices"].long()
        self.q = case.tensors["q"].unsqueeze(2)
        self.cache = case.tensors["k_cache"], case.tensors["v_cache"]
        if "dense" not in case.shared:
            shape = (self.batch, self.kv_heads, self.length, self.width)
            case.shared["dense"] = [torch.empty(shape, dtype=self.q.dtype, device="cuda")
                                    for _ in self.cache]
            case.shared["details"] = {"layout": "contiguous copy, not timed"}
        self.dense = case.shared["dense"]

    def pack(self):
        for cache, dense in zip(self.cache, self.dense):
            rows = cache[self.pages].view(self.batch, self.length, self.kv_heads, self.width)
            dense.copy_(rows.transpose(1, 2))

    def run(self):
        with sdpa_kernel(self.backend):
            out = F.scaled_dot_product_attention(self.q, *self.dense, scale=self.scale,
                                                 enable_gqa=True)
        return {"out": out}


opponent.serve(DenseAttention)
