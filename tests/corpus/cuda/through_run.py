#!/usr/bin/env python3
"""Sends the CUDA corpus through `coppice run`, as a user's own kernels, and compares the verdicts; and a kernel that only the
memory check at promotion can refuse through `coppice eval`.

usage: through_run.py COPPICE_PROGRAM [ARCHIVE_FOLDER]
Needs a GPU. Exit status 0 when each case of cases.json got its gate and class.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
OP = HERE.parents[2] / "experiments" / "ops" / "gqa_paged_decode"


def make_kernels(folder, corpus):
    plan = json.loads((OP / "baselines/cuda" / corpus["plan_of_baseline"] / "baseline.json").read_text())
    source = (HERE / corpus["source"]).read_text()
    for case in corpus["cases"]:
        place = folder / ("case_" + case["name"])
        place.mkdir()
        (place / "kernel.cu").write_text(f"#define CHEAT_{case['name'].upper()} 1\n" + source)
        (place / "plan.json").write_text(json.dumps(plan["plan"]))
        yield place


def verdicts(program, archive, folder, corpus):
    config = folder / "corpus.json"
    kernels = [str(place) for place in make_kernels(folder, corpus)]
    config.write_text(json.dumps({
        "schema": 1, "op": str(OP), "suite": "h200_decode", "backend": "cuda", "target": "sm_90",
        "templates": ["split_stream"], "seed_kernels": kernels, "strategy": "default",
        "budget": {"attempts": len(kernels) + 1}, "finalists": 0, "promote": False, "seed": 1}))
    quiet = dict(os.environ, COPPICE_PYTHON="/bin/false")  # the plain kernel is the opponent
    subprocess.run([program, "run", str(config), "--archive", archive], env=quiet, check=False)
    lines = subprocess.run([program, "export", "last", "--format", "history", "--archive", archive],
                           check=True, capture_output=True, text=True).stdout.splitlines()
    return {row["template"]: row for row in map(json.loads, lines) if "template" in row}


def judge_promotion(program):
    """Whether norm_reads_beyond is refused by the memory check; also right where there is no such tool, if the packet says so."""
    said = subprocess.run([program, "eval", str(HERE / "norm_reads_beyond"), "--op", "fused_add_rmsnorm", "--suite", "h200_few_rows",
                           "--backend", "cuda", "--target", "sm_90", "--json"], check=False, capture_output=True, text=True)
    evidence = json.loads(said.stdout)["evidence"]
    verdict, check = evidence["verdict"], evidence["memory_check"]
    good = ((verdict["gate"], verdict["failure"]) == ("memory_safety", "memory_unsafe")
            or (verdict["valid"] and bool(check.get("unavailable"))))
    print(f"{'ok ' if good else 'BAD'} norm_reads_beyond  {verdict['gate']}/{verdict['failure']} "
          f"{check['seconds']:.3f} s {verdict['message'] or check.get('unavailable', '')}")
    return good


def main():
    program = sys.argv[1]
    corpus = json.loads((HERE / "cases.json").read_text())
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        archive = sys.argv[2] if len(sys.argv) > 2 else str(folder / "archive")
        found = verdicts(program, archive, folder, corpus)
    right = 0
    for case in corpus["cases"]:
        row = found.get("case_" + case["name"])
        verdict = row["verdict"] if row else {"valid": False, "gate": "", "failure": "not tried"}
        wanted = case.get("failure", "none")
        good = (verdict["valid"] if case.get("good") else
                not verdict["valid"] and verdict["gate"] == case["gate"] and
                wanted in ("any", verdict["failure"]))
        right += good
        seconds = row["cost"]["device_ns"] * 1e-9 if row else 0
        print(f"{'ok ' if good else 'BAD'} {case['name']:18} {verdict['gate']}/{verdict['failure']} "
              f"{seconds:.3f} s {verdict.get('message', '')[:80]}")
    right += judge_promotion(program)
    wanted = len(corpus["cases"]) + 1
    print(f"{right} of {wanted}")
    return 0 if right == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
