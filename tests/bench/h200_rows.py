#!/usr/bin/env python3
"""Turns searches on a GPU into rows: one for each timed workload of each search's best candidate.

usage: h200_rows.py COPPICE_PROGRAM COMMIT COMMAND ARCHIVE_FOLDER...
Reads the newest search with strategy coppice of each operation and suite in each archive; prints
JSON. Times are medians in microseconds of cold launches as a graph, the baseline's launches
interleaved. `share` is floor / us; the floor is a plain cold read of the least bytes as the judge
measured it, or the arithmetic at the rate that the target's table calls reachable, whichever takes
longer. `over_default`: against the best template default, both as the search timed them.
`over_random`: winners of both timed in turn after `coppice run --compare random` (null without it).
`random`: random's attempts, its attempt that first had its final best, and ours that was as good.
"""
import json
import re
import subprocess
import sys

MATRIX_RATE = 790e12  # bf16 FLOP/s that this device reaches on random data


def ask(program, words):
    return subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout


def workloads(attempt):
    return {row["workload"]: row for row in attempt["performance"]["workloads"]}


def searches(program, at):
    """Names of the newest searches with strategy coppice, one for each operation and suite."""
    newest = {}
    for line in json.loads(ask(program, ["list", "--json", *at]))["runs"]:
        if line["strategy"] != "coppice" or line["trouble"]:
            continue
        shown = json.loads(ask(program, ["show", line["run"], "--json", *at]))
        key = (shown["op"], shown["suite"])
        if key not in newest or line["started"] >= newest[key][0]:
            newest[key] = (line["started"], line["run"])
    return [name for _, name in sorted(newest.values())]


def over_default(history, candidate):
    """Ratio by workload of the best template default and the winner, as the search timed both."""
    timed = [row for row in history if row.get("fidelity") == "search" and row.get("performance")]
    defaults = [row for row in timed if row.get("mutator") == "seed"]
    winners = [row for row in timed if row["candidate"] == candidate]
    if not defaults or not winners:
        return {}
    best = min(defaults, key=lambda row: row["performance"]["log_cost"])
    first, mine = workloads(best), workloads(winners[-1])
    return {name: w["speedup"] / first[name]["speedup"] for name, w in mine.items()
            if first.get(name, {}).get("speedup")}


def floor_of(name, w):
    """Microseconds; older archives know only the plain read, so a matrix product's arithmetic is added."""
    shape = re.fullmatch(r"m(\d+)_n(\d+)_k(\d+)", name)
    m, n, k = map(int, shape.groups()) if shape else (0, 0, 0)
    return max(w.get("floor_ns", 0) / 1e3, 2e6 * m * n * k / MATRIX_RATE)


def against_random(run):
    for item in run["compared"]:
        if item["strategy"] == "random" and item["ratio"] is not None:
            return item
    return {}


def rounded(number, digits=3):
    return None if number is None else round(number, digits)


def rows_of(program, name, at, commit):
    history = [json.loads(line) for line in
               ask(program, ["export", name, "--format", "history", *at]).splitlines()]
    run = json.loads(ask(program, ["show", name, "--json", *at]))
    if run["best"] is None:
        return
    shown = json.loads(ask(program, ["show", name, "best", "--json", *at]))
    tries = [a for a in shown["attempts"] if a["evidence"].get("performance")]
    # The promotion is timed longest; without one, the attempt with the most samples.
    best = max(tries, key=lambda a: (a["evidence"]["fidelity"] == "promote",
                                     a["evidence"]["fidelity"] == "finalist"))
    evidence = best["evidence"]
    defaults = over_default(history, shown["candidate"])
    random = against_random(run)
    by_workload = {w["workload"]: w["ratio"] for w in random.get("workloads", [])}
    for workload, w in workloads(evidence).items():
        us, floor = w["median_ns"] / 1e3, floor_of(workload, w)
        yield {
            "op": run["op"], "suite": run["suite"], "shape": workload,
            "dtype": evidence["precision"], "candidate": shown["label"], "us": us,
            "baseline": evidence["performance"]["baseline"],
            "baseline_us": w["baseline_median_ns"] / 1e3, "speedup": round(w["speedup"], 4),
            "speedup_low": round(w["speedup_low"], 4), "floor_us": round(floor, 3),
            "share": round(floor / us, 3) if floor else None,
            "over_default": rounded(defaults.get(workload)),
            "over_random": rounded(by_workload.get(workload, random.get("ratio"))),
            "attempts": run["attempts"], "valid": run["valid"],
            "random": {"attempts": random["attempts"], "best_after": random["best_after"],
                       "as_good_after": random["as_good_after"]} if random else None,
            "seed": run["seed"], "timing": evidence["fidelity"], "samples": w["samples"],
            "commit": commit}, evidence["environment"]["device"]


def main():
    program, commit, command, archives = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    rows, device = [], {}
    for archive in archives:
        at = ["--archive", archive]
        for name in searches(program, at):
            for row, device in rows_of(program, name, at, commit):
                rows.append(row)
    print(json.dumps({"device": device.get("name"), "command": command, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
