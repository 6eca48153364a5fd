"""Opponents in Python: opens the judge's device memory, captures each call as a graph, times it.

A baseline.py of an operation defines a class and calls serve(Class). For each workload and set of
values the class is made once from a Case; unsupported workloads raise Unsupported.

    outputs   names of the output tensors that run() fills
    pack()    optional, before each launch and not timed: brings inputs into the library's layout
    run()     captured once as a CUDA graph and timed; returns {output name: tensor}

Requests and answers are lines of JSON on the two standard streams (evaluators/cuda/opponent.h).
"""
import ctypes
import json
import os
import sys

ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # libraries may print; only answers go to the program

try:
    import torch
except Exception as error:  # any failing import means: no claim against this opponent
    ANSWERS.write(json.dumps({"missing": f"torch can't be imported: {error}"}) + "\n")
    ANSWERS.flush()
    sys.exit(0)

DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32, "f64": torch.float64,
          "i32": torch.int32, "i64": torch.int64, "i8": torch.int8, "u8": torch.uint8}
for name, attribute in (("e4m3", "float8_e4m3fn"), ("e5m2", "float8_e5m2")):  # not in an old torch
    if hasattr(torch, attribute):
        DTYPES[name] = getattr(torch, attribute)
SLACK_CYCLES = 3_000_000  # the device spins while the host enqueues: no launch waits for Python


class Unsupported(Exception):
    """This library can't do this workload."""


class Region:
    """Memory of another process, as torch sees it."""

    def __init__(self, handle, size):
        driver = ctypes.CDLL(os.environ.get("COPPICE_LIBCUDA", "libcuda.so.1"))

        class Handle(ctypes.Structure):
            _fields_ = [("bytes", ctypes.c_ubyte * 64)]

        raw = Handle.from_buffer_copy(bytes.fromhex(handle))
        place = ctypes.c_uint64()
        driver.cuIpcOpenMemHandle_v2.argtypes = [ctypes.POINTER(ctypes.c_uint64), Handle, ctypes.c_uint]
        status = driver.cuIpcOpenMemHandle_v2(ctypes.byref(place), raw, 1)
        if status != 0:
            raise RuntimeError(f"cuIpcOpenMemHandle: error {status}")
        self.__cuda_array_interface__ = {"shape": (size,), "typestr": "|u1", "version": 3,
                                         "data": (place.value, False), "strides": None}
        self.flat = torch.as_tensor(self, device="cuda")


class Case:
    """One workload with one of its sets of values."""

    def __init__(self, workload, which, request):
        self.name = workload["name"]
        self.dims = workload["dims"]
        self.constants = request["constants"]
        self.shared = workload["shared"]  # kept for all sets of the workload
        self.tensors = {}
        for tensor in workload["tensors"]:
            if tensor["role"] != "output":
                self.tensors[tensor["name"]] = view(workload["inputs"], tensor, which)

    def host(self, name):
        """A structure tensor as a list of numbers."""
        return self.tensors[name].cpu().flatten().tolist()


def view(region, tensor, which):
    begin = tensor["offset"] + which * tensor["stride"]
    flat = region.flat[begin:begin + tensor["bytes"]]
    return flat.view(DTYPES[tensor["dtype"]]).view(tensor["shape"])


class Program:
    """All that is prepared for one set of a workload."""

    def __init__(self, kind, case):
        self.work = kind(case)
        pack = getattr(self.work, "pack", None)
        self.pack = pack if pack is not None else lambda: None
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self.pack()
            for _ in range(3):
                self.work.run()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = self.work.run()


class Server:
    def __init__(self, kind):
        self.kind = kind
        self.workloads = []
        self.programs = {}
        self.flush = None
        self.request = None

    def open(self, request):
        torch.cuda.set_device(request["device"])
        torch.zeros(1, device="cuda")  # makes the context current for the driver's calls
        self.request = request
        for workload in request["workloads"]:
            workload["inputs"] = Region(workload["inputs"], workload["inputs_bytes"])
            workload["outputs"] = Region(workload["outputs"], workload["outputs_bytes"])
            workload["shared"] = {}
            self.workloads.append(workload)
        details = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}
        for index in range(len(self.workloads)):
            self.program(index, 0)
            details.update(self.workloads[index]["shared"].get("details", {}))
        return {"outputs": list(self.kind.outputs), "details": details}

    def program(self, index, which):
        key = (index, which)
        if key not in self.programs:
            case = Case(self.workloads[index], which, self.request)
            self.programs[key] = Program(self.kind, case)
        return self.programs[key]

    def slot(self, index, name, which):
        workload = self.workloads[index]
        tensor = next(t for t in workload["tensors"] if t["name"] == name)
        return view(workload["outputs"], tensor, which)

    def run(self, request):
        index = request["workload"]
        items = [tuple(item) for item in request["items"]]
        items = items[:1] * request["warm_up"] + items
        programs = [self.program(index, which) for _, which in items]
        if self.flush is None or self.flush.numel() < request["flush_bytes"]:
            self.flush = torch.empty(request["flush_bytes"], dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()
        torch.cuda._sleep(SLACK_CYCLES)
        pairs = []
        for (slot, _), program in zip(items, programs):
            program.pack()
            self.flush[:request["flush_bytes"]].zero_()
            begin = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            begin.record()
            program.graph.replay()
            end.record()
            pairs.append((begin, end))
            for name, tensor in program.outputs.items():
                place = self.slot(index, name, slot)
                place.copy_(tensor.reshape(place.shape))
        torch.cuda.synchronize()
        times = [begin.elapsed_time(end) * 1e3 for begin, end in pairs]
        return {"microseconds": times[request["warm_up"]:]}


def serve(kind):
    server = Server(kind)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with torch.no_grad():
                answer = server.open(request) if request["call"] == "open" else server.run(request)
        except (Unsupported, ImportError) as error:
            answer = {"missing": str(error)}
        except Exception as error:  # told to the program, which decides what it means
            answer = {"error": f"{type(error).__name__}: {error}"}
        ANSWERS.write(json.dumps(answer) + "\n")
        ANSWERS.flush()
