"""The tables of all runs as one, with the run and the analysis in front of every row. Snakemake runs this."""

import csv
import os


def main(tables: list[str], runs: list[str], merged: str) -> None:
    """Writes the CSV file `merged` from the CSV files `tables`, whose `RUN/ANALYSIS` are in `runs`.

    Columns that not all tables have are empty where they are not.
    """
    columns: dict[str, None] = {}
    for path in tables:
        with open(path, encoding="utf-8", newline="") as stream:
            columns.update(dict.fromkeys(next(csv.reader(stream))))
    # Beside, then renamed: cut off at any moment, it is the older file or the whole new one.
    with open(f"{merged}.part", "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["run", "analysis", *columns], restval="", lineterminator="\n")
        writer.writeheader()
        for path, name in zip(tables, runs, strict=True):
            run, analysis = name.split("/")
            with open(path, encoding="utf-8", newline="") as table:
                writer.writerows({"run": run, "analysis": analysis, **row} for row in csv.DictReader(table))
    os.replace(f"{merged}.part", merged)


main(list(snakemake.input), list(snakemake.params.runs), snakemake.output[0])
