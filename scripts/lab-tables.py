#!/usr/bin/env python3
"""Tables for docs/results from what the lab's commands print with --json.

    tbrm compare ... --json > compare.json
    scripts/lab-tables.py compare.json
"""

import json
import sys


def percent(interval, sign=""):
    """The mean with half of a symmetric interval, in percent."""
    text = f"{100 * interval['mean']:{sign}.1f}"
    if interval["high"] is not None:
        text += f" ± {100 * (interval['high'] - interval['mean']):.1f}"
    return text.replace("-", "−")


def ends(interval):
    """The mean with the ends of its interval."""
    if interval is None:
        return ""
    text = f"{interval['mean']:.3f}"
    if interval["high"] is not None:
        text += f" ({interval['low']:.3f} to {interval['high']:.3f})"
    return text.replace("-", "−")


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def compare(result):
    config = result["config"]
    print(f"Accuracy at the start: {percent(result['start'])} %. Equal tokens: {result['common_tokens']:.0f}.\n")
    head = ["objective", "learning rate", "at equal tokens, %", "less the first's, points", "at the end, %",
            "seconds", "of them rollouts", "GPU memory, MiB"]
    rows = []
    for arm in result["arms"]:
        seconds = arm["seconds"]
        spread = "" if seconds["high"] is None else f" ± {seconds['high'] - seconds['mean']:.0f}"
        failed = f" ({arm['failed']} failed)" if arm["failed"] else ""
        rows.append([
            arm["arm"]["name"] + failed,
            f"{arm['arm']['learning_rate']:g}",
            percent(arm["at_common_tokens"]),
            percent(arm["difference"], "+") if arm["difference"] else "",
            percent(arm["accuracy"]),
            f"{seconds['mean']:.0f}{spread}",
            f"{100 * arm['rollout_share']:.0f}%",
            f"{arm['peak_bytes'] / 2**20:.1f}",
        ])
    table(head, rows)
    seeds = [f"seed {config['seed'] + i}" for i in range(config["seeds"])]
    table(["at the end, %", *seeds],
          [[arm["arm"]["name"], *(f"{100 * x:.1f}" for x in arm["each"])] for arm in result["arms"]])
    if config["learning_rates"]:
        table(["validation, %", *(f"lr {rate:g}" for rate in config["learning_rates"])],
              [[arm["arm"]["name"], *(f"{100 * x:.1f}" for _, x in arm["tuning"])] for arm in result["arms"]])
    tokens = [f"{point['tokens']:.0f}" for point in result["arms"][0]["curve"]]
    table(["after about so many tokens, %", *tokens],
          [[arm["arm"]["name"], *(percent(point["accuracy"]) for point in arm["curve"])] for arm in result["arms"]])


def sweep(result):
    betas = result["config"]["betas"]
    cells = result["cells"]
    rows = [cells[i:i + len(betas)] for i in range(0, len(cells), len(betas))]

    def grid(title, of):
        if any(of(cell) for cell in cells):
            lines = []
            for row in rows:
                setting = row[0]["setting"]
                name = f"{setting['calibrate']}, scale {setting['logit_scale']:g}, lr {setting['learning_rate']:g}"
                lines.append([name, *(f"{of(cell)['mean']:.3f}".replace("-", "−") if of(cell) else "failed" for cell in row)])
            table([title, *(f"beta {beta:g}" for beta in betas)], lines)

    grid("accuracy", lambda cell: cell["accuracy"])
    for key in ["auc", "auc_within", "residual", "explained"]:
        grid(key, lambda cell: cell["figures"] and cell["figures"][key])
    print(f"Recommended because {result['why']}. Chosen by {result['chosen_by']}. At the start: {ends(result['start'])}.\n")
    held_out = result["held_out"]
    if held_out:
        print(f"Held out: accuracy {ends(held_out['accuracy'])}, "
              + ", ".join(f"{key} {ends(held_out['figures'][key])}" for key in ["auc", "auc_within", "residual", "explained"]) + ".\n")


def pilot(result):
    print(result["advice"]["decision"])
    for reason in result["advice"]["reasons"]:
        print(f"- {reason}")
    print()
    keys = ["auc_within", "auc", "residual", "explained"]
    row = lambda name, of: [name, *(ends(of[key]) for key in keys), f"{of['prompts']}, {of['contrasts']}"]
    rows = [row(f"{beta:g}", of) for beta, of in result["tried"] if of]
    if result["figures"]:
        rows.append(row(f"{result['beta']:g}, held out", result["figures"]))
    table(["beta", *keys, "prompts, differing"], rows)
    print(f"Before: {ends(result['before'])}; gain {ends(result['gain'])}.\n")
    table(["records", "predicted", "given"],
          [[of["records"], f"{of['predicted']:.3f}".replace("-", "−"), ends(of["given"])] for of in result["calibration"]])
    table(["place", "priority", "p", "token probability", "reward"],
          [[of["place"], f"{of['priority']:.3f}", f"{of['predicted']:.3f}", f"{of['matters']:.3f}", of["reward"]]
           for of in result["candidates"]])


def main():
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as file:
            result = json.load(file)
        if "arms" in result:
            compare(result)
        elif "cells" in result:
            sweep(result)
        else:
            pilot(result)


main()
