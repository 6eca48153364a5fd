"""Mixture of experts in Triton: rows sorted by expert and padded to whole tiles, two grouped products.

The sort depends on the routing alone and is made beforehand, outside the timed graph, which flatters
the opponent. Tile shapes are tuned for each product of each workload, cold, at the start.
"""
import coppice_opponent as opponent
import torch

try:
    import triton
    import triton.language as tl
except Exception as error:
    raise SystemExit(f"triton can't be imported: {error}")

# rows, columns, depth, warps, stages
FEW = [(16, 32, 128, 4, 4), (16, 32, 128, 4, 5), (16, 32, 256, 4, 3), (16, 64, 128, 4, 3),
       (16, 64, 128, 4, 4), (16, 64, 256, 4, 3), (16, 128, 128, 4, 3), (16, 128, 128, 4, 4)]
SOME = [(32, 64, 128, 4, 4), (32, 128, 64, 4, 4), (64, 64, 128, 4, 3), (64, 128, 64, 4, 4),
        (64, 128, 64, 8, 4), (64, 128, 128, 8, 3), (64, 256, 64, 8, 4)]
MANY = [(128, 128, 64, 8, 3), (128, 128, 64, 8, 4), (128, 128, 64, 4, 4), (128, 256, 64, 8, 3),
        (128, 64, 64, 4, 4), (64, 256, 64, 8, 3)]


def shapes_for(each):
    """Tile shapes worth trying for an expert with so many rows in the mean."""
    return FEW if each <= 8 else FEW + SOME if each <= 40 else SOME + MANY


@triton.jit
def product(rows_in, weights, out, row_of, expert_of, scale_of, columns, depth, pairs,
            ROWS_PER_INPUT: tl.constexpr, SCALED: tl.constexpr, TILE_ROWS: tl.constexpr,
            TILE_COLUMNS: tl.constexpr, TILE_DEPTH: tl.constexpr):
    block = tl.program_id(1)
    first = tl.program_id(0) * TILE_COLUMNS
    row = tl.load(row_of + block * TILE_ROWS + tl.arange(0, TILE_ROWS))
    used = row < pairs
    expert = tl.load(expert_of + block).to(tl.int64)
    column = first + tl.arange(0, TILE_COLUMNS)
    along = tl.arange(0, TILE_DEPTH)
    left = rows_in + (row // ROWS_PER_INPUT)[:, None].to(tl.int64) * depth + along[None, :]
    right = weights + expert * columns * depth + column[None, :].to(tl.int64) * depth + along[:, None]
    sums = tl.zeros((TILE_ROWS, TILE_COLUMNS), dtype=tl.float32)
    for _ in range(0, depth // TILE_DEPTH):
        sums = tl.dot(tl.load(left, mask=used[:, None], other=0.0), tl.load(right), sums)
        left += TILE_DEPTH
        right += TILE_DEPTH
    if SCALED:
        sums *= tl.load(scale_of + row, mask=used, other=0.0)[:, None]
    place = out + row[:, None].to(tl.int64) * columns + column[None, :]
    tl.store(place, sums.to(out.dtype.element_ty), mask=used[:, None])


@triton.jit
def gated(both, out, inter, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = at < inter
    gate = tl.load(both + row * 2 * inter + at, mask=inside).to(tl.float32)
    up = tl.load(both + row * 2 * inter + inter + at, mask=inside).to(tl.float32)
    tl.store(out + row * inter + at, (gate * tl.sigmoid(gate) * up).to(tl.bfloat16), mask=inside)


@triton.jit
def summed(parts, out, hidden, TOP: tl.constexpr, WIDTH: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = at < hidden
    total = tl.zeros((WIDTH,), dtype=tl.float32)
    for k in range(TOP):
        total += tl.load(parts + (token * TOP + k) * hidden + at, mask=inside, other=0.0)
    tl.store(out + token * hidden + at, total.to(tl.bfloat16), mask=inside)


def sort_rows(ids, experts, tile):
    """Rows by expert, each expert padded to whole tiles; the padding names no row."""
    flat = ids.flatten().long()
    counts = torch.bincount(flat, minlength=experts).tolist()
    order = torch.argsort(flat, stable=True).tolist()
    rows, owners, at = [], [], 0
    for expert, count in enumerate(counts):
        mine = order[at:at + count]
        at += count
        padded = -(-count // tile) * tile
        rows += mine + [flat.numel()] * (padded - count)
        owners += [expert] * (padded // tile)
    make = lambda numbers: torch.tensor(numbers, dtype=torch.int32, device="cuda")
    return make(rows), make(owners)


def fastest(calls):
    """The call with the least median time, cold; those that can't be built are left out."""
    flush = torch.empty(64 << 20, dtype=torch.uint8, device="cuda")
    best = None
    for shape, call in calls:
        try:
            call()
        except Exception:
            continue
        times = []
        for _ in range(7):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(200_000)
            flush.zero_()
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize()
            times.append(begin.elapsed_time(end))
        median = sorted(times)[3]
        if best is None or median < best[0]:
            best = (median, shape)
    if best is None:
        raise opponent.Unsupported("no tile shape can be built")
    return best[1]


class GroupedExperts:
    outputs = ("out",)

    def __init__(self, case):
        dims = case.dims
        self.tokens, self.hidden, self.inter = dims["tokens"], dims["hidden"], dims["inter"]
        self.top, self.pairs = dims["top_k"], dims["tokens"] * dims["top_k"]
        self.x, self.scale = case.tensors["x"], case.tensors["expert_weights"]
        self.w_in, self.w_out = case.tensors["w_gate_up"], case.tensors["w_down"]
        if self.x.dtype != torch.bfloat16 or self.w_in.dtype != torch.bfloat16:
            raise opponent.Unsupported("written for bf16")
        if self.hidden % 256 != 0 or self.inter % 256 != 0:
            raise opponent.Unsupported("written for multiples of 256")
        shared = case.shared
        if "rows" not in shared:
            each = self.pairs / dims["experts"]
            shared["each"] = each
            shared["rows"] = {tile: sort_rows(case.tensors["expert_ids"], dims["experts"], tile)
                              for tile in {shape[0] for shape in shapes_for(each)}}
            empty = lambda width, kind: torch.empty(self.pairs, width, dtype=kind, device="cuda")
            shared["both"] = empty(2 * self.inter, torch.bfloat16)
            shared["act"] = empty(self.inter, torch.bfloat16)
            shared["parts"] = empty(self.hidden, torch.float32)
        self.shared = shared
        self.out = torch.empty_like(self.x)
        if "shapes" not in shared:
            shapes = shapes_for(shared["each"])
            shared["shapes"] = [fastest([(s, lambda s=s: self.first(s)) for s in shapes]),
                                fastest([(s, lambda s=s: self.second(s)) for s in shapes])]
            shared["details"] = {"triton": triton.__version__, "sorting": "not timed",
                                 "tiles " + case.name: [list(s) for s in shared["shapes"]]}

    def launch(self, source, weights, out, shape, per_input, scaled):
        tile, columns, depth, warps, stages = shape
        rows, owners = self.shared["rows"][tile]
        width, length = out.shape[1], source.shape[1]
        product[(width // columns, owners.numel())](
            source, weights, out, rows, owners, self.scale, width, length, self.pairs, per_input,
            scaled, tile, columns, depth, num_warps=warps, num_stages=stages)

    def first(self, shape):
        self.launch(self.x, self.w_in, self.shared["both"], shape, self.top, False)

    def second(self, shape):
        self.launch(self.shared["act"], self.w_out, self.shared["parts"], shape, 1, True)

    def run(self):
        self.first(self.shared["shapes"][0])
        gated[(self.pairs, triton.cdiv(self.inter, 1024))](self.shared["both"], self.shared["act"],
                                                           self.inter, 1024)
        self.second(self.shared["shapes"][1])
        summed[(self.tokens, triton.cdiv(self.hidden, 1024))](self.shared["parts"], self.out,
                                                              self.hidden, self.top, 1024)
        return {"out": self.out}


opponent.serve(GroupedExperts)
