"""Several runs beside each other: their scores, and differences of each two on the same clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mien.report import plots, scores, terms, words
from mien.report.cells import Column, table
from mien.report.folders import Json
from mien.run.compare import p_value


def compared(runs: Sequence[Json], comparison: Json) -> str:
    """Every task that a run was scored on, then what sets pairs apart."""
    names = dict.fromkeys(name for run in runs for name in run["tasks"])
    parts = [_side_by_side(name, runs) for name in names]
    parts += [_pairs(name, comparison["pairs"]) for name in names]
    if comparison["pairs"]:
        parts.append(_explained(comparison["pairs"]))
    left = "".join(f"<li>{words.safe(why, 300)}</li>" for why in comparison["left_out"])
    parts.append(f'<ul class="notes" aria-label="Not compared">{left}</ul>' if left else "")
    return "".join(parts)


def _side_by_side(task: str, runs: Sequence[Json]) -> str:
    """Each run's score, by which the task's field compares systems."""
    own = [run for run in runs if task in run["tasks"]]
    key = own[0]["tasks"][task]["by"]
    several = any(run.get("over_seeds") for run in own)
    columns: list[Column] = [("Run", ""), (terms.score(key), "n"), ("", "g")]
    columns += [("95 % over groups", "n"), ("95 % over clips", "n")]
    columns += [("Seeds, mean ± sd", "n")] * several
    columns += [("Clips", "n"), ("Groups", "n"), ("Scored on", "")]
    bodies = [run["tasks"][task] for run in own]
    drawings = [end for body in bodies for end in scores.ends(body["intervals"].get(key, {}))]
    line = scores.scale(key, [*drawings, *(body["scores"].get(key) for body in bodies)])
    rows = []
    for run, body in zip(own, bodies, strict=True):
        value, drawn = body["scores"].get(key), body["intervals"].get(key, {})
        spans = {unit: (i["low"], i["high"]) for unit, i in drawn.items()}
        seeds = run.get("over_seeds", {}).get(task, {}).get(key)
        guess = body["guessing"].get(key)
        strip = plots.strip(value, spans, line, [] if guess is None else [guess])
        row = [words.named(run["name"], 60), f"<b>{terms.digits(value)}</b>", strip]
        row += [terms.span(drawn.get("groups")), terms.span(drawn.get("clips"))]
        row += [terms.spread(seeds)] * several
        row += [terms.count(body["clips"]), terms.count(body["groups"])]
        rows.append([*row, words.safe(run["part"] or "not said", 30)])
    return table(f"{task}: {terms.score(key)} of each run", columns, rows)


def _pairs(task: str, pairs: Sequence[Json]) -> str:
    """Differences with intervals and tests."""
    own = [pair for pair in pairs if task in pair["tasks"]]
    if not own:
        return ""
    bodies = [pair["tasks"][task] for pair in own]
    holm = any("p_holm" in i["test"] for body in bodies for i in body["scores"].values())
    columns: list[Column] = [("First minus second", ""), ("Score", ""), ("Difference", "n")]
    columns += [("95 %", "n"), ("", "g"), ("p", "n"), *[("p, Holm", "n")] * holm]
    rows = [
        row
        for pair, body in zip(own, bodies, strict=True)
        for row in _rows(pair, body, _reach(bodies), holm=holm)
    ]
    seeds = ", means over the seeds of both" if any(len(pair["seeds"]) > 1 for pair in own) else ""
    title = f"{task}: differences on the same clips{seeds}"
    return table(title, columns, rows, look="pairs") + _mcnemar(own, task)


def _reach(bodies: Sequence[Json]) -> dict[str, float]:
    """How far the intervals of each score reach from 0, whichever pair they are of."""
    reach: dict[str, float] = {}
    for body in bodies:
        for key, found in body["scores"].items():
            reach[key] = max(reach.get(key, 0.0), abs(found["low"]), abs(found["high"]))
    return {key: value or 1.0 for key, value in reach.items()}


def _rows(pair: Json, body: Json, reach: Mapping[str, float], *, holm: bool) -> Iterator[list[str]]:
    name = f"{words.named(pair['run'], 40)} − {words.named(pair['other'], 40)}"  # noqa: RUF001
    for number, (key, found) in enumerate(body["scores"].items()):
        test, unit = found["test"], found["over"]
        strip = plots.strip(
            found["value"], {unit: (found["low"], found["high"])}, (-reach[key], reach[key]), [0.0]
        )
        row = [name if not number else f'<span class="same">{name}</span>', terms.titled(key)]
        row += [f"<b>{terms.digits(found['value'], sign='+')}</b>", terms.span(found, "+"), strip]
        row.append(words.safe(p_value(test["p"])))
        yield [*row, *[words.safe(p_value(test["p_holm"])) if "p_holm" in test else ""] * holm]


def _mcnemar(pairs: Sequence[Json], task: str) -> str:
    rows = [
        [
            f"{words.named(pair['run'], 40)} − {words.named(pair['other'], 40)}",  # noqa: RUF001
            words.safe(seed),
            terms.count(test["only_first"]),
            terms.count(test["only_second"]),
            words.safe(p_value(test["p"])),
        ]
        for pair in pairs
        for seed, test in pair["tasks"][task].get("mcnemar", {}).items()
    ]
    if not rows:
        return ""
    columns: list[Column] = [("First and second", ""), ("Seed", ""), ("Right alone: first", "n")]
    columns += [("Right alone: second", "n"), ("p", "n")]
    return table(f"{task}: McNemar's exact test over clips", columns, rows)


def _explained(pairs: Sequence[Mapping[str, Json]]) -> str:
    tests = [
        found["test"]
        for pair in pairs
        for body in pair["tasks"].values()
        for found in body["scores"].values()
    ]
    if not tests:
        return ""
    exact = all(test["method"] == "exact" for test in tests)
    how = "in every way" if exact else f"in {max(test['ways'] for test in tests):,} random ways"
    unit = "groups (speakers)" if tests[0]["over"] == "groups" else "clips"
    fewest = min(test["units"] for test in tests)
    holm = (
        " Holm: corrected for the number of pairs, for each score on its own."
        if any("p_holm" in test for test in tests)
        else ""
    )
    least = _least(tests)
    floor = f" With {fewest} of them it cannot be below {p_value(least)}." if least > 0.001 else ""
    return (
        f'<p class="muted">Interval: both runs scored on the same draws of {unit}; one that leaves '
        f"out 0 shows a difference. p: exchange test, the answers of whole {unit} change places "
        f"between the runs {how}; p is the share in which the scores lie at least as far apart."
        f"{floor}{holm} McNemar's test takes clips for independent, which those of one speaker are "
        "not.</p>"
    )


def _least(tests: Sequence[Json]) -> float:
    """The smallest p that could have come out."""
    least = [
        2.0 ** (1 - test["units"]) if test["method"] == "exact" else 1 / (test["ways"] + 1)
        for test in tests
    ]
    return float(max(least))
