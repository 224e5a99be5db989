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
    head = ["validation", "beta", "steps", "AUC pooled", "AUC within a problem", "RMS residual"]
    rows = []
    for method, tried in result["tried"].items():
        for rank, t in enumerate(tried):
            name = f"**{method}**" if rank == 0 else method
            pooled, within = (f"{auc:.3f}" for auc in t["auc"])
            tbrm = method == "tbrm"
            beta, rms = (f"{t['beta']:g}", f"{t['residual_rms']:.2f}") if tbrm else ("", "")
            rows.append([name, beta, t["steps"], pooled, within, rms])
    return table(head, rows)


def residuals(result):
    reward, beta = result["parts"]["heldout"]["reward"], result["beta"]
    floor = (reward * (1 - reward)) ** 0.5 / beta
    head = [f"held out, beta {beta:g}", "mean residual", "RMS residual", "mean V_1", "mean beta * rho"]
    digits = {"residual": 2, "residual_rms": 2, "v1": 2, "implicit_reward": 3}
    rows = [
        [name, *(spread([seed[key] for seed in seeds], places) for key, places in digits.items())]
        for name, seeds in result["residual"].items()
    ]
    rows.append(["nothing told apart", "0.00", f"{floor:.2f}", f"{reward / beta:.2f}", "0.000"])
    return table(head, rows)


NAMES = {"shortness": "shorter first", "mean_logp": "mean log-prob", "implicit_reward": "beta * rho"}


def aucs(result):
    base = next(row["auc"][0] for row in result["auc"] if row["model"] == "warm start")

    def columns(row):
        for column, error in enumerate(row["gain_error"]):
            values = [auc[column] for auc in row["auc"]]
            gain = statistics.fmean(values) - base[column]
            yield spread(values)
            yield "" if row["model"] == "warm start" else f"{gain:+.3f} ± {error:.3f}"

    over = "gain over the warm start"
    head = ["held out", "ranked by", "AUC pooled", over, "AUC within a problem", over]
    return table(head, [[row["model"], NAMES[row["score"]], *columns(row)] for row in result["auc"]])
