"""Latent attention over dense rows in torch: what a user gets without a paged kernel.

The pages are gathered into [batch, length, latent + rope] before each launch, outside the timed
graph, and the two parts of the query are joined there; both flatter the opponent.
"""
import os

import coppice_opponent as opponent
import torch


def attend(query, rows, latent, scale):
    scores = torch.matmul(query, rows.transpose(-1, -2)).float() * scale
    weights = torch.softmax(scores, -1).to(rows.dtype)
    return torch.matmul(weights, rows[..., :latent])


class LatentAttention:
    outputs = ("out",)

    def __init__(self, case):
        dims = case.dims
        self.latent, self.scale = dims["latent"], case.constants["sm_scale"]
        pages, page = case.host("kv_indptr"), dims["page_size"]
        lengths = {(end - begin) * page for begin, end in zip(pages, pages[1:])}
        if len(lengths) != 1 or set(case.host("kv_last_page_len")) != {page}:
            raise opponent.Unsupported("sequences of several lengths need a paged kernel")
        self.case = case
        self.table = case.tensors["kv_indices"].long()
        width = self.latent + dims["rope"]
        shared = case.shared
        if "rows" not in shared:
            like = case.tensors["cache"]
            shared["rows"] = like.new_empty((dims["batch"], lengths.pop(), width))
            shared["query"] = like.new_empty((dims["batch"], dims["heads"], width))
            shared["details"] = {"layout": "contiguous copy, not timed"}
        self.rows, self.query = shared["rows"], shared["query"]
        self.attend = attend
        if os.environ.get("COPPICE_MLA", "eager") == "compile":
            self.attend = torch.compile(attend, dynamic=False)

    def pack(self):
        tensors = self.case.tensors
        self.rows.copy_(tensors["cache"][self.table].view(self.rows.shape))
        self.query[..., :self.latent] = tensors["q_nope"]
        self.query[..., self.latent:] = tensors["q_rope"]

    def run(self):
        return {"out": self.attend(self.query, self.rows, self.latent, self.scale)}


opponent.serve(LatentAttention)
