"""The self-check: fresh values, the contract's kernel beside ours, the contract's tolerances."""
import math
import os
import struct

import torch

from .package import SelfCheckFailed, torch_dtype


def structure(package, workload, device):
    """The structure tensors of a workload (page tables, routing) as the search had them."""
    out = {}
    with open(os.path.join(package.folder, "structure.bin"), "rb") as file:
        for spec in package.inputs:
            if spec["role"] != "structure":
                continue
            begin, size = workload["structure"][spec["name"]]
            file.seek(begin)
            dtype = torch_dtype(spec["dtype"])
            flat = torch.frombuffer(bytearray(file.read(size)), dtype=dtype) if size else \
                torch.empty(0, dtype=dtype)
            out[spec["name"]] = flat.reshape(shape_of(package, spec, workload)).to(device)
    return out


def shape_of(package, spec, workload):
    from . import plan
    values = {**package.data["values"], **workload["dims"], **workload["scalars"]}
    return [int(plan.evaluate(text, values)) for text in spec["shape"]]


def values(package, workload, generator, device):
    out = {}
    for spec in package.inputs:
        if spec["role"] != "value":
            continue
        shape, fill = shape_of(package, spec, workload), spec["fill"]
        if fill["kind"] == "constant":
            tensor = torch.zeros(shape, device=device)
        elif fill["kind"] == "uniform":
            tensor = torch.rand(shape, device=device, generator=generator) * 2 - 1
        else:
            tensor = torch.randn(shape, device=device, generator=generator)
        out[spec["name"]] = (tensor * fill["scale"] + fill["offset"]).to(torch_dtype(spec["dtype"]))
    return out


def inputs(package, workload, seed, device):
    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    return {**values(package, workload, generator, device), **structure(package, workload, device)}


def columns(shape):
    width = 1
    for extent in reversed(shape):
        if width >= 32:
            break
        width *= max(extent, 1)
    return width


def share(actual, expected, limits):
    """The worst of the contract's rules as a share of its limit; at most 1 passes."""
    got, want = actual.double().flatten(), expected.double().flatten()
    finite = torch.isfinite(want)
    if not bool((torch.isfinite(got) | ~finite).all()) or not bool((got == want)[~finite].all()):
        return math.inf
    if got.numel() == 0:
        return 0.0
    diff = torch.where(finite, got - want, torch.zeros_like(got))
    want = torch.where(finite, want, torch.zeros_like(want))
    width = columns(list(actual.shape))
    pad = -got.numel() % width
    rows_diff = torch.nn.functional.pad(diff, (0, pad)).view(-1, width)
    rows_want = torch.nn.functional.pad(want, (0, pad)).view(-1, width)
    rms = want.square().mean().sqrt().item()
    row_rms = rows_want.square().mean(1).sqrt().clamp_min(max(1e-6 * rms, 1e-300))
    bound = limits["relative"] * rows_want.abs() + limits["scaled"] * row_rms[:, None]
    if limits.get("absolute") is not None:
        bound = torch.full_like(bound, limits["absolute"])
    worst = (rows_diff.abs() / bound.clamp_min(1e-300)).max().item()
    if limits.get("absolute") is None:
        nrmse = diff.square().mean().sqrt().item() / max(rms, 1e-300)
        row = (rows_diff.square().mean(1).sqrt() / row_rms).max().item()
        worst = max(worst, nrmse / limits["nrmse"], row / (limits["nrmse"] * limits["row_factor"]))
    return worst


def run(package, names, seed, device):
    found = {}
    seed = seed if seed is not None else struct.unpack("<Q", os.urandom(8))[0] >> 1
    if device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    for workload in package.data["verified"]:
        if names is not None and workload["workload"] not in names:
            continue
        differs = package.plan_difference(workload)
        if differs:
            raise SelfCheckFailed(f"{package.name}: {workload['workload']}: {differs}")
        tensors = inputs(package, workload, seed, device)
        outputs = package(tensors, scalars=workload["scalars"])
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        expected = package.contract(tensors, workload["scalars"])
        worst = 0.0
        for spec, tensor in zip(package.outputs, outputs):
            worst = max(worst, share(tensor, expected[spec["name"]], spec["tolerance"]))
        found[workload["workload"]] = worst
        if not worst <= 1.0:
            raise SelfCheckFailed(f"{package.name}: {workload['workload']}: {worst:.3g} of the "
                                  f"limit (seed {seed})")
        del tensors, outputs, expected
    return found
