"""The tables of the experiment, as Markdown."""

import statistics


def spread(values, digits=3):
    """Mean ± standard deviation; of one value, itself."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def tables(result):
    return "\n".join(part(result) for part in (parts, choices, residuals, aucs))


def parts(result):
    head = ["part", "problems", "with right and wrong", "records", "too long", "right", "tokens: median, longest"]
    rows = [
        [name, p["prompts"], p["prompts_with_contrast"], p["records"], p["rejected"], f"{p['reward']:.3f}",
         f"{p['completion_tokens']['p50']}, {p['completion_tokens']['max']}"]
        for name, p in result["parts"].items()
    ]
    return table(head, rows)


def choices(result):
    head = ["validation", "beta", "steps", "AUC pooled", "AUC within a problem", "residual RMS"]
    rows = []
    for method, tried in result["tried"].items():
        for rank, t in enumerate(tried):
            name = f"**{method}**" if rank == 0 else method
            beta = f"{t['beta']:g}" if method == "tbrm" else ""
            rms = f"{t['residual_rms']:.2f}" if method == "tbrm" else ""
            rows.append([name, beta, t["steps"], f"{t['auc']:.3f}", f"{t['auc_within_prompt']:.3f}", rms])
    return table(head, rows)


def residuals(result):
    reward, beta = result["parts"]["heldout"]["reward"], result["beta"]
    floor = (reward * (1 - reward)) ** 0.5 / beta
    head = [f"held out, beta {beta:g}", "mean residual", "RMS residual", "mean V_1", "mean beta * rho"]
    rows = [
        [name, spread(r["residual"], 2), spread(r["residual_rms"], 2), spread(r["v1"], 2), spread(r["implicit_reward"])]
        for name, r in result["residual"].items()
    ]
    rows.append(["a model that tells nothing apart", "0.00", f"{floor:.2f}", f"{reward / beta:.2f}", "0.000"])
    return table(head, rows)


def aucs(result):
    def gain(row, column, base):
        if row["gain_error"] is None:
            return ""
        mean = statistics.fmean(auc[column] for auc in row["auc"])
        return f"{mean - base[column]:+.3f} ± {row['gain_error'][column]:.3f}"

    base = next(row["auc"][0] for row in result["auc"] if row["model"] == "warm start")
    over = "gain over the warm start"
    head = ["held out", "ranked by", "AUC pooled", over, "AUC within a problem", over]
    rows = [
        [row["model"], row["score"], spread([auc[0] for auc in row["auc"]]), gain(row, 0, base),
         spread([auc[1] for auc in row["auc"]]), gain(row, 1, base)]
        for row in result["auc"]
    ]
    return table(head, rows)
