"""torch's add, norm and quantisation, eager or compiled, and its scaled e4m3 product (cuBLASLt or CUTLASS)."""
import os

import coppice_opponent as opponent
import torch
import torch.nn.functional as F


def quantise(x, residual, weight, eps: float):
    updated = x + residual
    normed = F.rms_norm(updated, (weight.shape[0],), weight, eps).float()
    scale = normed.abs().amax(-1, keepdim=True).clamp_min(1e-12) / 448.0
    return (normed / scale).clamp(-448.0, 448.0).to(torch.float8_e4m3fn), scale, updated


class Product:
    outputs = ("out", "residual_out")

    def __init__(self, case):
        mode = os.environ.get("COPPICE_QUANTISE", "eager")
        if mode not in ("eager", "compile"):
            raise opponent.Unsupported(f"COPPICE_QUANTISE is eager or compile, found {mode}")
        self.inputs = [case.tensors[name] for name in ("x", "residual", "norm_weight")]
        self.weight, self.weight_scale = case.tensors["weight"].t(), case.tensors["weight_scale"].reshape(1, -1)
        self.eps = case.constants["eps"]
        self.fast = os.environ.get("COPPICE_FAST_SUMS", "0") == "1"
        if "call" not in case.shared:
            case.shared["call"] = self.compiled() if mode == "compile" else quantise
            case.shared["details"] = {"quantise": mode, "fast_sums": self.fast}
        self.call = case.shared["call"]
        try:
            self.run()
        except Exception as error:  # which scales torch takes depends on its version and the device
            raise opponent.Unsupported(f"torch._scaled_mm: {error}")

    def compiled(self):
        """Compiled apart for each workload, so that its sizes are constants."""
        call = torch.compile(quantise, dynamic=False)
        try:
            call(*self.inputs, self.eps)
        except Exception as error:  # needs a host compiler, which not every machine has
            raise opponent.Unsupported(f"torch.compile: {error}")
        return call

    def run(self):
        activations, scale, updated = self.call(*self.inputs, self.eps)
        out = torch._scaled_mm(activations, self.weight, scale_a=scale, scale_b=self.weight_scale,
                               out_dtype=torch.bfloat16, use_fast_accum=self.fast)
        return {"out": out, "residual_out": updated}


opponent.serve(Product)
