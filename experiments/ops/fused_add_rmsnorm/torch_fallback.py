"""fused_add_rmsnorm in plain torch: what a torch package calls for shapes that were not verified."""
import torch


def run(constants, x, residual, weight):
    y = x.float() + residual.float()
    scale = torch.rsqrt(y.square().mean(-1, keepdim=True) + constants["eps"])
    return (y * scale * weight.float()).to(x.dtype)
