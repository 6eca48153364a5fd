#!/usr/bin/env python3
"""Turns searches on a GPU into rows: one for each timed workload of a run's best candidate.

usage: h200_rows.py COPPICE_PROGRAM COMMIT COMMAND ARCHIVE_FOLDER...
Reads the last run of each archive; prints JSON. Times are medians in microseconds of cold launches as
a graph, the baseline's launches interleaved; `share` is floor / us, the floor a plain cold read of the
least bytes as the judge measured it; `over_default` compares with the template default as the search
timed it (null where that failed); `over_random` is null: one run alone does not know it (`coppice run --compare random` does).
"""
import json
import re
import subprocess
import sys

MATRIX_RATE = 790e12  # bf16 FLOP/s that this device reaches on random data


def ask(program, words):
    out = subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout
    return out


def workloads(attempt):
    return {row["workload"]: row for row in attempt["performance"]["workloads"]}


def default_times(history, template):
    for row in history:
        if row.get("mutator") == "seed" and row.get("template") == template and row.get("performance"):
            return {name: w["median_ns"] for name, w in workloads(row).items()}
    return {}


def floor_of(name, w):
    """Microseconds: the plain read, or a matrix product's arithmetic where that takes longer."""
    shape = re.fullmatch(r"m(\d+)_n(\d+)_k(\d+)", name)
    m, n, k = map(int, shape.groups()) if shape else (0, 0, 0)
    return max(w.get("floor_ns", 0) / 1e3, 2e6 * m * n * k / MATRIX_RATE)


def rows_of(program, archive, commit):
    at = ["--archive", archive]
    history = [json.loads(line) for line in
               ask(program, ["export", "last", "--format", "history", *at]).splitlines()]
    shown = json.loads(ask(program, ["show", "last", "best", "--json", *at]))
    run = json.loads(ask(program, ["show", "last", "--json", *at]))
    tries = [a for a in shown["attempts"] if a["evidence"].get("performance")]
    # The promotion is timed longest; without one, the attempt with the most samples.
    best = max(tries, key=lambda a: (a["evidence"]["fidelity"] == "promote",
                                     a["evidence"]["fidelity"] == "finalist"))
    evidence = best["evidence"]
    template = shown["label"].split(":")[0]
    defaults = default_times(history, template)
    attempts = sum(1 for row in history if row.get("fidelity") == "search")
    for name, w in workloads(evidence).items():
        us, floor = w["median_ns"] / 1e3, floor_of(name, w)
        yield {
            "op": run.get("op", ""), "shape": name, "dtype": evidence["precision"],
            "candidate": shown["label"], "us": us,
            "baseline": evidence["performance"]["baseline"],
            "baseline_us": w["baseline_median_ns"] / 1e3, "speedup": round(w["speedup"], 4),
            "speedup_low": round(w["speedup_low"], 4), "floor_us": round(floor, 3),
            "share": round(floor / us, 3) if floor else None,
            "over_default": round(defaults[name] / w["median_ns"], 3) if name in defaults else None,
            "over_random": None, "attempts": attempts, "timing": evidence["fidelity"],
            "samples": w["samples"], "commit": commit}, evidence["environment"]["device"]


def main():
    program, commit, command, archives = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    rows, device = [], {}
    for archive in archives:
        for row, device in rows_of(program, archive, commit):
            rows.append(row)
    print(json.dumps({"device": device.get("name"), "command": command, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
