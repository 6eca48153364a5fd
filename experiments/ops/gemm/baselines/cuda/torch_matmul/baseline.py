"""torch's matrix product, which is cuBLAS: what a linear layer without bias costs."""
import coppice_opponent as opponent
import torch


class Product:
    outputs = ("c",)

    def __init__(self, case):
        self.a, self.weights = case.tensors["a"], case.tensors["b"].t()
        self.c = torch.empty(self.a.shape[0], self.weights.shape[1], dtype=self.a.dtype, device="cuda")

    def run(self):
        return {"c": torch.mm(self.a, self.weights, out=self.c)}


opponent.serve(Product)
