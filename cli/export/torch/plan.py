"""Plans as data: evaluates their expressions for given extents, as the search's engine does."""
import math
import re

_DOTTED = re.compile(r"\b([A-Za-z_]\w*)\.(?=[A-Za-z_])")
_DTYPES = {"u8": 0, "i8": 0, "e4m3": 0, "e5m2": 0, "i32": 3, "i64": 5, "f16": 6, "f32": 7, "f64": 8,
           "bf16": 9}
_SWIZZLES = {"none": 0, "32": 1, "64": 2, "128": 3}
_PROMOTIONS = {"none": 0, "64": 1, "128": 2, "256": 3}


def _ceil_div(a, b):
    return -(-a // b)


_FUNCTIONS = {"min": min, "max": max, "abs": abs, "ceil_div": _ceil_div, "int": int,
              "align_up": lambda a, b: _ceil_div(a, b) * b, "align_down": lambda a, b: a // b * b,
              "floor": math.floor, "ceil": math.ceil, "log2": math.log2, "sqrt": math.sqrt,
              "true": True, "false": False, "__builtins__": {}}
_compiled = {}


class Missing(KeyError):
    """An expression needs a number that no tensor's shape tells."""


def evaluate(text, values):
    """The value of an expression; only the names given and a few functions are visible to it."""
    if not isinstance(text, str):
        return text
    code = _compiled.get(text)
    if code is None:
        python = text.replace("&&", " and ").replace("||", " or ")
        python = re.sub(r"!(?!=)", " not ", python)
        code = _compiled[text] = compile(_DOTTED.sub(r"\1__", python).strip(), "<plan>", "eval")
    try:
        return eval(code, _FUNCTIONS, {k.replace(".", "__"): v for k, v in values.items()})
    except NameError as error:
        raise Missing(f"{text}: {error}") from None


def define_text(value):
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def defines_of(plan, values):
    return {name: define_text(evaluate(text, values))
            for name, text in plan.get("defines", {}).items()}


def _triple(step, key, values, missing):
    given = [evaluate(text, values) for text in step.get(key, [])]
    return [int(n) for n in given] + [missing] * (3 - len(given))


def _map(arg, values):
    return {"tensor": arg["tensor_map"], "dtype": _DTYPES[arg["dtype"]],
            "sizes": [int(evaluate(e, values)) for e in arg["sizes"]],
            "stride_bytes": [int(evaluate(e, values)) for e in arg.get("stride_bytes", [])],
            "box": [int(evaluate(e, values)) for e in arg["box"]],
            "swizzle": _SWIZZLES[str(arg.get("swizzle", "none"))],
            "promotion": _PROMOTIONS[str(arg.get("l2_promotion", "256"))]}


def _argument(arg, values):
    if "tensor" in arg:
        return {"kind": "tensor", "name": arg["tensor"]}
    if "workspace" in arg:
        return {"kind": "workspace", "name": arg["workspace"],
                "integer": int(evaluate(arg.get("offset", 0), values))}
    if "dim" in arg:
        return {"kind": "dim", "integer": int(evaluate(arg["dim"], values))}
    if "scalar" in arg:
        return {"kind": "scalar", "real": float(evaluate(arg["scalar"], values))}
    return {"kind": "tensor_map", "map": _map(arg, values)}


def resolve(plan, values):
    """All numbers of a plan: workspace [(name, bytes)], steps in order, those dropped left out."""
    workspace = [(s["name"], -(-int(evaluate(s["bytes"], values)) // 256) * 256)
                 for s in plan.get("workspace", [])]
    steps = []
    for step in plan["steps"]:
        if "when" in step and not evaluate(step["when"], values):
            continue
        if "fill" in step:
            steps.append({"fill": step["fill"], "byte": int(step.get("byte", 0))})
            continue
        steps.append({"entry": step["kernel"], "grid": _triple(step, "grid", values, 1),
                      "block": _triple(step, "block", values, 1),
                      "cluster": _triple(step, "cluster", values, 0),
                      "shared_bytes": int(evaluate(step.get("shared_bytes", 0), values)),
                      "cooperative": bool(step.get("cooperative", False)),
                      "dependent": bool(step.get("dependent", False)),
                      "args": [_argument(arg, values) for arg in step.get("args", [])]})
    return workspace, steps


def difference(resolved, workspace, steps):
    """How a plan evaluated here differs from what the search launched; empty: not at all."""
    if [(s["name"], s["bytes"]) for s in resolved.get("workspace", [])] != workspace:
        return f"workspace {workspace}, the search had {resolved.get('workspace')}"
    if len(resolved["steps"]) != len(steps):
        return f"{len(steps)} steps, the search had {len(resolved['steps'])}"
    for theirs, ours in zip(resolved["steps"], steps):
        if "fill" in ours:
            same = theirs.get("fill") == ours["fill"] and theirs["byte"] == ours["byte"]
        else:
            same = theirs.get("kernel") == ours["entry"] and all(
                theirs.get(key, False) == ours[key] for key in
                ("grid", "block", "cluster", "shared_bytes", "cooperative", "dependent"))
            same = same and [_flat(arg) for arg in theirs["args"]] == [_flat(a) for a in ours["args"]]
        if not same:
            return f"step {ours}, the search had {theirs}"
    return ""


def _flat(arg):
    if arg["kind"] == "tensor_map":
        m = arg["map"]
        dtype = _DTYPES.get(m["dtype"], m["dtype"])
        swizzle = _SWIZZLES.get(m["swizzle"], m["swizzle"])
        promotion = m.get("promotion", _PROMOTIONS.get(m.get("l2_promotion")))
        return ["map", m["tensor"], dtype, m["sizes"], m["stride_bytes"], m["box"], swizzle, promotion]
    if arg["kind"] == "scalar":
        return ["scalar", arg.get("real", 0.0)]
    return [arg["kind"], arg.get("name", ""), arg.get("integer", 0)]
