#!/usr/bin/env python3
"""Turn a table of mean scores by case into the CSV that `slm eval import` reads.

usage: seed-results-to-csv.py mean_scores_by_case.tsv > scores.csv

The table has a row for each case (its first column, prompt_id) and a column for each model: the mean
of N answers that each were right or wrong, as a percentage with two decimals, or nothing where the
model has no answer. N is 16 unless another number of answers, from 15 down, explains the percentage
and 16 does not (7.14% is 1 of 14). Of the N answers round(mean x N) get score 1, the others 0: which
of them are right is not known, and worst-at-k does not depend on it.
"""
import csv
import sys

ANSWERS = 16


def answers_of(percent):
    """(right, all) that print as this percentage."""
    for n in range(ANSWERS, 0, -1):
        right = round(percent / 100 * n)
        if abs(100 * right / n - percent) < 0.0051:
            return right, n
    sys.exit(f"{percent}% is no mean of at most {ANSWERS} answers that are right or wrong")


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["model", "case", "rollout", "score"])
    with open(sys.argv[1], newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            case = row.pop("prompt_id")
            for model, cell in row.items():
                if not cell:
                    continue
                right, n = answers_of(float(cell.rstrip("%")))
                for rollout in range(n):
                    out.writerow([model, case, rollout, int(rollout < right)])


main()
