"""The few calls of the CUDA driver that a package needs, through ctypes: no compiler, no extension."""
import ctypes
import os

_COOPERATIVE, _CLUSTER, _PROGRAMMATIC = 2, 4, 6  # CU_LAUNCH_ATTRIBUTE_*
_MAX_DYNAMIC_SHARED, _NON_PORTABLE_CLUSTER = 8, 14  # CU_FUNC_ATTRIBUTE_*


class DriverError(RuntimeError):
    """A call of the driver failed."""


class _Attribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("padding", ctypes.c_int), ("value", ctypes.c_uint32 * 16)]


class _Config(ctypes.Structure):
    _fields_ = [("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3),
                ("shared", ctypes.c_uint), ("stream", ctypes.c_void_p),
                ("attributes", ctypes.POINTER(_Attribute)), ("count", ctypes.c_uint)]


class Driver:
    """Resolves libcuda (COPPICE_LIBCUDA names another file). Functions may be replaced by a test."""

    def __init__(self, library=None):
        self.lib = library or ctypes.CDLL(os.environ.get("COPPICE_LIBCUDA", "libcuda.so.1"))

    def check(self, status, doing):
        if status != 0:
            name = ctypes.c_char_p()
            self.lib.cuGetErrorName(ctypes.c_int(status), ctypes.byref(name))
            word = name.value.decode() if name.value else "error"
            raise DriverError(f"{doing}: {word} ({status})")

    def use_primary_context(self, ordinal):
        """A library that has not used the device yet in this thread has no context there."""
        current = ctypes.c_void_p()
        self.check(self.lib.cuCtxGetCurrent(ctypes.byref(current)), "context")
        if current.value:
            return
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.check(self.lib.cuDeviceGet(ctypes.byref(device), ctypes.c_int(ordinal)), "device")
        self.check(self.lib.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "context")
        self.check(self.lib.cuCtxSetCurrent(context), "context")

    def load(self, image):
        module = ctypes.c_void_p()
        self.check(self.lib.cuModuleLoadData(ctypes.byref(module), ctypes.c_char_p(image)),
                   "load device code")
        return module

    def function(self, module, entry, shared_bytes, cluster):
        out = ctypes.c_void_p()
        self.check(self.lib.cuModuleGetFunction(ctypes.byref(out), module, entry.encode()),
                   f"kernel {entry}")
        if shared_bytes > 0:  # the kernel's own counts too
            self._set(out, _MAX_DYNAMIC_SHARED, shared_bytes, f"{entry}: shared memory")
        if cluster[0] * max(cluster[1], 1) * max(cluster[2], 1) > 8:
            self._set(out, _NON_PORTABLE_CLUSTER, 1, f"{entry}: cluster")
        return out

    def _set(self, function, attribute, value, doing):
        status = self.lib.cuFuncSetAttribute(function, ctypes.c_int(attribute), ctypes.c_int(value))
        self.check(status, doing)

    def fill(self, address, byte, size, stream):
        status = self.lib.cuMemsetD8Async(ctypes.c_uint64(address), ctypes.c_ubyte(byte),
                                          ctypes.c_size_t(size), ctypes.c_void_p(stream))
        self.check(status, "fill")

    def tensor_map(self, request, address):
        """A 128-byte descriptor, aligned to 64 bytes; `request` as resolved from the plan."""
        rank = len(request["sizes"])
        raw = ctypes.create_string_buffer(128 + 64)
        place = -(-ctypes.addressof(raw) // 64) * 64
        sizes = (ctypes.c_uint64 * rank)(*request["sizes"])
        strides = (ctypes.c_uint64 * max(rank - 1, 1))(*request["stride_bytes"])
        box = (ctypes.c_uint32 * rank)(*request["box"])
        ones = (ctypes.c_uint32 * rank)(*([1] * rank))
        status = self.lib.cuTensorMapEncodeTiled(
            ctypes.c_void_p(place), ctypes.c_int(request["dtype"]), ctypes.c_uint32(rank),
            ctypes.c_void_p(address), sizes, strides, box, ones, ctypes.c_int(0),
            ctypes.c_int(request["swizzle"]), ctypes.c_int(request["promotion"]), ctypes.c_int(0))
        self.check(status, "tensor map")
        return raw, place


class Launch:
    """One kernel with its configuration; addresses are filled in at each call."""

    def __init__(self, driver, module, step):
        self.driver, self.entry = driver, step["entry"]
        self.function = driver.function(module, step["entry"], step["shared_bytes"], step["cluster"])
        attributes = []
        if step["cooperative"]:
            attributes.append((_COOPERATIVE, [1]))
        if step["cluster"][0] > 0:
            attributes.append((_CLUSTER, [max(n, 1) for n in step["cluster"]]))
        if step["dependent"]:
            attributes.append((_PROGRAMMATIC, [1]))
        self.attributes = (_Attribute * max(len(attributes), 1))()
        for attribute, (kind, values) in zip(self.attributes, attributes):
            attribute.id = kind
            for i, value in enumerate(values):
                attribute.value[i] = value
        self.config = _Config((ctypes.c_uint * 3)(*step["grid"]), (ctypes.c_uint * 3)(*step["block"]),
                              step["shared_bytes"], None, self.attributes, len(attributes))
        self.args = step["args"]
        self.values = [ctypes.c_float(arg["real"]) if arg["kind"] == "scalar"
                       else ctypes.c_int64(arg.get("integer", 0)) if arg["kind"] == "dim"
                       else ctypes.c_uint64(0) for arg in self.args]
        self.pointers = (ctypes.c_void_p * max(len(self.args), 1))(
            *[ctypes.addressof(value) for value in self.values])
        self.maps = {}  # argument -> (address it was encoded for, memory)

    def __call__(self, addresses, stream):
        for i, arg in enumerate(self.args):
            if arg["kind"] in ("tensor", "workspace"):
                self.values[i].value = addresses[arg["name"]] + arg.get("integer", 0)
            elif arg["kind"] == "tensor_map":
                address = addresses[arg["map"]["tensor"]]
                if i not in self.maps or self.maps[i][0] != address:
                    raw, place = self.driver.tensor_map(arg["map"], address)
                    self.maps[i] = (address, raw)
                    self.pointers[i] = place
        self.config.stream = stream
        status = self.driver.lib.cuLaunchKernelEx(ctypes.byref(self.config), self.function,
                                                  self.pointers, None)
        self.driver.check(status, f"launch {self.entry}")
