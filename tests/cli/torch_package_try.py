"""Imports an exported torch package with a driver and a torch that only record what is asked of them.

usage: torch_package_try.py FOLDER; prints one line of JSON: what was launched for each workload.
"""
import contextlib
import ctypes
import importlib
import json
import os
import sys
import types


class Tensor:
    place = 1 << 20

    def __init__(self, shape, dtype):
        self.shape, self.dtype, self.is_cuda, self.device = tuple(shape), dtype, True, Device()
        Tensor.place += 1 << 12
        self.address = Tensor.place

    def data_ptr(self):
        return self.address

    def is_contiguous(self):
        return True

    def element_size(self):
        return 2

    def numel(self):
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    def copy_(self, other):
        self.copied = other


class Device:
    index = 0

    def __eq__(self, other):
        return True


def fake_torch():
    torch = types.ModuleType("torch")
    for name in ("bfloat16", "float16", "float32", "float64", "int32", "int64", "int8", "uint8"):
        setattr(torch, name, name)
    torch.empty = lambda shape, dtype, device: Tensor(shape if isinstance(shape, list) else [shape],
                                                      dtype)
    torch.device = lambda name: Device()
    torch.cuda = types.SimpleNamespace(
        current_stream=lambda device: types.SimpleNamespace(cuda_stream=77),
        is_current_stream_capturing=lambda: False, device=lambda d: contextlib.nullcontext())
    return torch


class FakeLibrary:
    """Answers like libcuda and keeps each launch with the bytes of its parameters."""

    def __init__(self):
        self.log, self.functions, self.images, self.attributes = [], {}, 0, []

    def cuCtxGetCurrent(self, out):
        out._obj.value = 1
        return 0

    def cuModuleLoadData(self, out, image):
        self.images += 1
        out._obj.value = self.images
        return 0

    def cuModuleGetFunction(self, out, module, name):
        self.functions[len(self.functions) + 1] = name.decode()
        out._obj.value = len(self.functions)
        return 0

    def cuFuncSetAttribute(self, function, attribute, value):
        self.attributes.append([attribute.value, value.value])
        return 0

    def cuTensorMapEncodeTiled(self, place, dtype, rank, address, sizes, strides, box, ones, *rest):
        assert place.value % 64 == 0
        self.log.append({"map": address.value, "dtype": dtype.value, "sizes": list(sizes),
                         "box": list(box), "swizzle": rest[1].value, "promotion": rest[2].value})
        return 0

    def cuMemsetD8Async(self, address, byte, size, stream):
        self.log.append({"fill": byte.value, "bytes": size.value, "stream": stream.value})
        return 0

    def cuLaunchKernelEx(self, config, function, parameters, extra):
        config = config._obj
        attributes = {config.attributes[i].id: list(config.attributes[i].value)[:3]
                      for i in range(config.count)}
        self.log.append({"kernel": self.functions[function.value], "grid": list(config.grid),
                         "block": list(config.block), "shared": config.shared,
                         "stream": config.stream, "attributes": attributes,
                         "first": ctypes.c_uint64.from_address(parameters[0]).value})
        return 0


def main():
    folder = os.path.abspath(sys.argv[1])
    sys.modules["torch"] = fake_torch()
    sys.path.insert(0, os.path.dirname(folder))
    module = importlib.import_module(os.path.basename(folder))
    package = module._package
    library = FakeLibrary()
    driver = importlib.import_module(os.path.basename(folder) + ".driver")
    package._driver = driver.Driver(library)
    function = getattr(module, package.name)
    check = importlib.import_module(os.path.basename(folder) + ".check")
    answer = {"workloads": {}}
    for workload in package.data["verified"]:
        inputs = {spec["name"]: Tensor(check.shape_of(package, spec, workload), torch_name(spec))
                  for spec in package.inputs}
        library.log.clear()
        outputs = function(*inputs.values())
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        answer["workloads"][workload["workload"]] = {
            "difference": package.plan_difference(workload), "launches": list(library.log),
            "outputs": [list(t.shape) for t in outputs],
            "first_input": next(iter(inputs.values())).address}
    strange = {name: Tensor([extent * 3 for extent in t.shape], t.dtype)
               for name, t in inputs.items()}
    try:
        function(*strange.values())
        answer["strange"] = "accepted"
    except (module.NotVerified, ValueError) as error:
        answer["strange"] = f"{type(error).__name__}: {error}"
    try:
        answer["fallback"] = function(*strange.values(),
                                      fallback=lambda **named: tuple(sorted(named)))
        answer["fallback"] = list(answer["fallback"])
    except ValueError as error:
        answer["fallback"] = str(error)
    answer["modules"], answer["attributes"] = library.images, library.attributes
    print(json.dumps(answer))


def torch_name(spec):
    return {"bf16": "bfloat16", "f32": "float32", "i32": "int32"}[spec["dtype"]]


main()
