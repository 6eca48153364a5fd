#!/usr/bin/env python3
"""Merges recorded tables of the same axes into one, each divided by the median of its own times.

usage: merge_tables.py A.json B.json ... > MERGED.json
Reads what `coppice table RUN --to kernel-tuner` writes, for runs of the same operation at times at
which the machine was not equally fast. A configuration that several runs measured counts as in the
first of them.
"""
import json
import statistics
import sys


def valid(entry):
    return isinstance(entry.get("time"), (int, float))


def main():
    merged = None
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
        if merged is not None and table["tune_params"] != merged["tune_params"]:
            sys.exit(f"{path}: expected the axes of {sys.argv[1]}, found others")
        middle = statistics.median(e["time"] for e in table["cache"].values() if valid(e))
        for entry in table["cache"].values():
            if valid(entry):
                entry["time"] /= middle
        if merged is None:
            merged = table
        for key, entry in table["cache"].items():
            merged["cache"].setdefault(key, entry)
    if merged is None:
        sys.exit("usage: merge_tables.py A.json B.json ... > MERGED.json")
    json.dump(merged, sys.stdout)


if __name__ == "__main__":
    main()
