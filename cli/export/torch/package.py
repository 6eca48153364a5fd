"""An operation as a function on torch tensors: looks up the code that was verified for the shapes
at hand, launches it on torch's current stream, and refuses what was not verified."""
import json
import os
import threading

import torch

from . import plan as plans
from .driver import Driver, Launch

_DTYPES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32", "f64": "float64", "i32": "int32",
           "i64": "int64", "i8": "int8", "u8": "uint8", "e4m3": "float8_e4m3fn", "e5m2": "float8_e5m2"}
_ALIGNED = 1024  # of workspace slices


def torch_dtype(name):
    return getattr(torch, _DTYPES[name])


class NotVerified(ValueError):
    """These tensors are outside what was verified; `fallback` says what to do then."""


class SelfCheckFailed(RuntimeError):
    """The kernel's result is not what the contract says, on this device."""


class _Program:
    """A plan for one set of extents on one device."""

    def __init__(self, driver, module, plan, values):
        self.workspace, steps = plans.resolve(plan, values)
        self.steps = [step if "fill" in step else Launch(driver, module, step) for step in steps]
        self.offsets, self.bytes = {}, 0
        for name, size in self.workspace:
            self.offsets[name] = self.bytes
            self.bytes += -(-size // _ALIGNED) * _ALIGNED
        self.sizes = dict(self.workspace)


class Package:
    def __init__(self, folder, driver=None):
        self.folder = folder
        with open(os.path.join(folder, "kernels.json")) as file:
            self.data = json.load(file)
        self.name = self.data["op"]
        self.inputs = [t for t in self.data["tensors"] if t["role"] != "output"]
        self.outputs = [t for t in self.data["tensors"] if t["role"] == "output"]
        self._driver = driver
        self._lock = threading.Lock()
        self._modules, self._programs, self._matches = {}, {}, {}
        for workload in self.data["verified"]:
            values = self._values(workload["dims"], workload["scalars"])
            workload["defines"] = plans.defines_of(self.data["plan"], values)

    @property
    def driver(self):
        if self._driver is None:
            self._driver = Driver()
        return self._driver

    # ---- shapes ----

    def _values(self, dims, extra):
        return {**self.data["values"], **dims, **extra}

    def extents(self, tensors):
        """Dims as the tensors' shapes tell them; shapes that contradict each other are refused."""
        dims, later = {}, []
        for spec in self.data["tensors"]:
            tensor = tensors.get(spec["name"])
            if tensor is None:
                continue
            if len(tensor.shape) != len(spec["shape"]):
                raise ValueError(f"{spec['name']}: expected {len(spec['shape'])} extents "
                                 f"{spec['shape']}, found {list(tensor.shape)}")
            for text, extent in zip(spec["shape"], tensor.shape):
                if text in self.data["dims"] and dims.setdefault(text, int(extent)) == extent:
                    continue
                later.append((spec["name"], text, int(extent)))
        for name, text, extent in later:
            expected = plans.evaluate(text, self._values(dims, {}))
            if expected != extent:
                raise ValueError(f"{name}: expected extent {text} = {expected}, found {extent}")
        return dims

    def _match(self, dims, extra):
        """The verified workload whose code fits these extents, or why there is none."""
        key = (tuple(sorted(dims.items())), tuple(sorted(extra.items())))
        if key not in self._matches:
            self._matches[key] = self._find_match(dims, extra)
        return self._matches[key]

    def _find_match(self, dims, extra):
        values = self._values(dims, extra)
        for claim in self.data["plan"].get("claims", []):
            if not plans.evaluate(claim, values):
                return None, f"the kernel does not claim this shape: {claim}"
        defines = plans.defines_of(self.data["plan"], values)
        same = [w for w in self.data["verified"] if w["defines"] == defines]
        if not same:
            return None, f"no code was compiled for {defines or dims}"
        for name, extent in dims.items():
            low = min(w["dims"][name] for w in same)
            high = max(w["dims"][name] for w in same)
            if not low <= extent <= high:
                return same[0], f"{name} = {extent} is outside the verified {low} to {high}"
        return same[0], ""

    def verified(self):
        """What was verified: name, extents, and whether it was timed (hidden ones were not)."""
        return [{"workload": w["workload"], "dims": w["dims"], "timed": not w["hidden"]}
                for w in self.data["verified"]]

    # ---- launching ----

    def _module(self, device, file):
        key = (device, file)
        if key not in self._modules:
            self.driver.use_primary_context(device)
            with open(os.path.join(self.folder, file), "rb") as code:
                self._modules[key] = self.driver.load(code.read())
        return self._modules[key]

    def _program(self, device, kind, file, dims, extra):
        key = (device, kind, file, tuple(sorted(dims.items())), tuple(sorted(extra.items())))
        if key not in self._programs:
            plan = self.data[kind]
            module = self._module(device, file)
            self._programs[key] = _Program(self.driver, module, plan, self._values(dims, extra))
        return self._programs[key]

    def _enqueue(self, program, tensors, device):
        stream = torch.cuda.current_stream(device).cuda_stream
        addresses = {name: tensor.data_ptr() for name, tensor in tensors.items()}
        workspace, base = None, 0
        if program.bytes:
            workspace = torch.empty(program.bytes + _ALIGNED, dtype=torch.uint8, device=device)
            base = -(-workspace.data_ptr() // _ALIGNED) * _ALIGNED
        for name, offset in program.offsets.items():  # empty slices too: they are named
            addresses[name] = base + offset
        for step in program.steps:
            if isinstance(step, Launch):
                step(addresses, stream)
                continue
            name = step["fill"]
            size = program.sizes.get(name)
            if size is None:
                size = tensors[name].numel() * tensors[name].element_size()
            if size:
                self.driver.fill(addresses[name], step["byte"], size, stream)
        return workspace  # torch's allocator may reuse it for later work of this stream

    def _check(self, tensors):
        device = None
        for spec in self.data["tensors"]:
            tensor = tensors.get(spec["name"])
            if tensor is None:
                continue
            if not tensor.is_cuda or (device is not None and tensor.device != device):
                raise ValueError(f"{spec['name']}: all tensors must be on one CUDA device")
            device = tensor.device
            if tensor.dtype != torch_dtype(spec["dtype"]):
                raise ValueError(f"{spec['name']}: expected {torch_dtype(spec['dtype'])}, "
                                 f"found {tensor.dtype}")
            if not tensor.is_contiguous():
                raise ValueError(f"{spec['name']}: expected a contiguous tensor")
            if tensor.data_ptr() % self.data["alignment"] != 0:
                raise ValueError(f"{spec['name']}: expected an address that is a multiple of "
                                 f"{self.data['alignment']} bytes")
        return device

    def _outputs(self, given, dims, device, out_types=None):
        tensors = {}
        for spec in self.outputs:
            if given.get(spec["name"]) is not None:
                tensors[spec["name"]] = given[spec["name"]]
                continue
            shape = [int(plans.evaluate(text, self._values(dims, {}))) for text in spec["shape"]]
            dtype = torch_dtype((out_types or {}).get(spec["name"], spec["dtype"]))
            tensors[spec["name"]] = torch.empty(shape, dtype=dtype, device=device)
        return tensors

    def __call__(self, inputs, outputs=None, fallback=None, unverified="refuse", scalars=None):
        """Outputs in the contract's order: one tensor, or a tuple. `fallback` (a function that takes
        the inputs by name) answers for shapes that were not verified; "torch" names the operation's
        own. unverified="run" launches code that claims the shape but was not verified on it."""
        given = {**inputs, **(outputs or {})}
        extra = scalars or {}
        dims = self.extents(given)
        workload, why = self._match(dims, extra)
        capturing = torch.cuda.is_current_stream_capturing() if workload else False
        if workload and capturing and not workload["graph_safe"]:
            raise NotVerified(f"{self.name}: its launches depend on {self.data['scalars']}, so a "
                              "captured graph would be wrong at other lengths")
        if why and not (workload and unverified == "run"):
            return self._fall_back(inputs, given, why, fallback)
        device = self._check(given)
        with torch.cuda.device(device), self._lock:
            program = self._program(device.index, "plan", workload["code"], dims, extra)
            made = self._outputs(given, dims, device)
            self._enqueue(program, {**inputs, **made}, device)
        found = tuple(made[spec["name"]] for spec in self.outputs)
        return found[0] if len(found) == 1 else found

    def _fall_back(self, inputs, given, why, fallback):
        if fallback == "torch":
            fallback = self.torch_fallback()
        if fallback is None:
            raise NotVerified(f"{self.name}: {why}; give fallback= to answer for such shapes")
        found = fallback(**inputs)
        found = found if isinstance(found, tuple) else (found,)
        for spec, tensor in zip(self.outputs, found):
            if given.get(spec["name"]) is not None:
                given[spec["name"]].copy_(tensor)
        found = tuple(given.get(spec["name"]) if given.get(spec["name"]) is not None else tensor
                      for spec, tensor in zip(self.outputs, found))
        return found[0] if len(found) == 1 else found

    def torch_fallback(self):
        """The operation in plain torch, from its folder: slower, for any shape."""
        try:
            from . import fallback
        except ImportError:
            raise NotVerified(f"{self.name}: this operation ships no torch implementation") from None
        constants = self.data["constants"]
        return lambda **inputs: fallback.run(constants, **inputs)

    # ---- checking ----

    def contract(self, inputs, scalars):
        """The contract's own device kernel (fp64 sums): slow, exact; outputs by name, f32."""
        dims = self.extents(inputs)
        device = self._check(inputs)
        wide = {spec["name"]: "f32" for spec in self.outputs if spec["dtype"] in
                ("bf16", "f16", "e4m3", "e5m2")}
        with torch.cuda.device(device), self._lock:
            program = self._program(device.index, "contract_plan", self.data["contract_code"], dims,
                                    scalars)
            made = self._outputs({}, dims, device, wide)
            self._enqueue(program, {**inputs, **made}, device)
        return made

    def plan_difference(self, workload):
        """Empty: the plan evaluated here gives the very launches that were verified."""
        values = self._values(workload["dims"], workload["scalars"])
        return plans.difference(workload["resolved"], *plans.resolve(self.data["plan"], values))

    def self_check(self, workloads=None, seed=None, device="cuda"):
        """Runs each verified workload (or those named) on fresh values against the contract's
        kernel. Returns {workload: worst share of a limit}; raises SelfCheckFailed."""
        from . import check
        return check.run(self, workloads, seed, torch.device(device))
