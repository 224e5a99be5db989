#!/usr/bin/env python3
"""TBRM from real logs: GSM8K solutions that four models wrote, right and wrong.

Converts the logs, splits them by problem, warm-starts a model of about one million parameters on GSM8K's train
split, trains it on the logged completions with the warm start as reference, and measures on held-out problems how
well beta * rho tells right from wrong completions. Steps whose output exists are skipped: run it again to go on.

    run.py path/to/grade-school-math/grade_school_math/data
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import ranking
import report

HERE = Path(__file__).resolve().parent
TRAIN, LOGS = "train.jsonl", "example_model_solutions.jsonl"

# Sizes at which every step runs, for a check that the pieces fit together; its figures mean nothing.
QUICK = dict(
    warm_records=8, warm_batch=4, fit_problems=4, batch=4, betas=[0.05, 0.2], lengths=[1], seeds=[0], vocab_size=300
)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("data", type=Path, help=f"the folder with {TRAIN} and {LOGS}")
    option("--out", type=Path, default=Path("runs/gsm8k"), help="where everything goes (default: %(default)s)")
    option("--tbrm", default="tbrm", help="the command (default: %(default)s, from PATH)")
    option("--adapter", help="the adapter, as in `tbrm devices`")
    option("--quick", action="store_true", help="a few records and steps, to see that everything works")
    option("--vocab-size", type=int, default=2048, help="tokens of the BPE tokenizer (default: %(default)s)")
    option("--warm-records", type=int, default=0, help="train problems of the warm start; 0 for all (%(default)s)")
    option("--warm-batch", type=int, default=16, help="records a step of the warm start (default: %(default)s)")
    option("--warm-lr", type=float, default=2e-3, help="its learning rate, cosine to 0 (default: %(default)s)")
    option("--fit-problems", type=int, default=0, help="problems to train on; 0 for all that are neither held out "
           "nor for validation (default: %(default)s)")
    option("--batch", type=int, default=32, help="completions a step (default: %(default)s)")
    option("--lr", type=float, default=3e-4, help="learning rate of tbrm and sft (default: %(default)s)")
    option("--betas", type=float, nargs="+", default=[0.02, 0.05], help="to choose from (default: %(default)s)")
    option("--lengths", type=int, nargs="+", default=[29, 58, 116], help="steps to choose from, multiples of the first "
           "(default: %(default)s)")
    option("--seeds", type=int, nargs="+", default=[0, 1, 2], help="orders of training (default: %(default)s)")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**QUICK)
    args = parser.parse_args()
    if any(length % args.lengths[0] for length in args.lengths) or sorted(set(args.lengths)) != args.lengths:
        parser.error("--lengths must rise, and be multiples of the first")
    if missing := [name for name in (TRAIN, LOGS) if not (args.data / name).is_file()]:
        parser.error(f"{args.data} has no {' and no '.join(missing)}; see {HERE / 'README.md'}")
    return args


def read(path):
    # Not str.splitlines, which also breaks at U+2028 and its like inside a string.
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path, text):
    """Written aside and renamed: a file that exists is whole."""
    aside = path.with_name(path.name + ".partial")
    aside.write_text(text, encoding="utf-8")
    aside.rename(path)


def write_records(path, records):
    write(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def fail(what, instead):
    sys.exit(f"error: {what}\nhelp: {instead}")


class Experiment:
    def __init__(self, args):
        self.args, self.out, self.data = args, args.out, args.out / "data"
        self.warm = self.out / "warm" / "model"
        self.data.mkdir(parents=True, exist_ok=True)
        places = ("data", "out", "tbrm", "adapter")
        self.settings = {key: value for key, value in vars(args).items() if key not in places}
        saved = self.out / "settings.json"
        if saved.exists() and json.loads(saved.read_text()) != self.settings:
            fail(f"{self.out} holds an experiment with other settings", "give another --out, or remove it")
        write(saved, json.dumps(self.settings, indent=1) + "\n")

    def tbrm(self, *words):
        """Runs a command that prints one JSON object, and returns it."""
        line = [self.args.tbrm, *map(str, words), "--json"]
        if self.args.adapter:
            line += ["--adapter", self.args.adapter]
        print("$", " ".join(line), file=sys.stderr, flush=True)
        start = time.monotonic()
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True)
        with open(self.out / "seconds.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps({"command": line[1:], "seconds": time.monotonic() - start}) + "\n")
        if done.returncode:
            fail(f"`{' '.join(line)}` ended with exit code {done.returncode}", "see its message above")
        return json.loads(done.stdout)

    def convert(self, source, kind):
        records = self.data / f"{kind}.jsonl"
        if not records.exists():
            self.tbrm("logs", "convert", "--from", kind, self.args.data / source, "--out", records)
        return read(records)

    def prepare(self):
        """Writes the parts that everything else reads."""
        rng = random.Random(0)
        demonstrations = [as_logged(record) for record in self.convert(TRAIN, "gsm8k")]
        write_records(self.data / "corpus.jsonl", demonstrations)
        count = self.args.warm_records or len(demonstrations)
        write_records(self.data / "warm.jsonl", rng.sample(demonstrations, min(count, len(demonstrations))))
        self.parts = split(self.convert(LOGS, "gsm8k-solutions"), self.args.fit_problems, rng)
        self.parts["fit_right"] = [record for record in self.parts["fit"] if record["reward"] == 1]
        for name, records in self.parts.items():
            write_records(self.data / f"{name}.jsonl", records)

    def check(self, model):
        """What `tbrm logs check` counts in each part, in the model's tokens: it fails on a record that is too long."""
        counts = self.out / "checked.json"
        if not counts.exists():
            names = ("warm", "fit", "validation", "heldout")
            files = {name: self.data / f"{name}.jsonl" for name in names}
            checked = {name: self.tbrm("logs", "check", file, "--model", model) for name, file in files.items()}
            write(counts, json.dumps(checked))
        return json.loads(counts.read_text())

    def train(self, run, model, records, steps, *options):
        """Trains, or goes on training, and returns the run's directory."""
        run = self.out / run
        if not (run / "model").exists():
            resume = ["--resume"] if run.exists() else []
            data = ["--model", model, "--data", self.data / f"{records}.jsonl", "--out", run]
            # All of them: each interruption adds one, and the choice of a length needs the others.
            keep = ["--checkpoint-every", self.args.lengths[0], "--keep", 1000]
            self.tbrm("train", *data, *steps, *keep, *options, *resume)
        return run

    def warm_start(self):
        fresh = self.out / "fresh"
        if not fresh.exists():
            tokenizer = ["--tokenizer", f"train:{self.data / 'corpus.jsonl'}", "--vocab-size", self.args.vocab_size]
            self.tbrm("init", "--config", HERE / "config.json", *tokenizer, "--out", fresh)
        how = ["--objective", "sft", "--batch", self.args.warm_batch, "--lr", self.args.warm_lr, "--schedule", "cosine"]
        self.train("warm", fresh, "warm", ["--epochs", 1], *how)

    def fit(self, method, seed, steps, beta):
        """Trains the warm start on the logged completions: `tbrm` on all of them, `sft` on the right ones.

        Returns the run's directory; a run of this seed that went on for longer is left as it is.
        """
        run, records, how = f"sft-seed{seed}", "fit_right", []
        if method == "tbrm":
            run, records, how = f"tbrm-beta{beta:g}-seed{seed}", "fit", ["--beta", beta]
        how = ["--objective", method, "--batch", self.args.batch, "--lr", self.args.lr, "--seed", seed, *how]
        return self.train(run, self.warm, records, ["--steps", steps], *how)

    def score(self, model, part, name):
        """What `tbrm score` says of each completion of a part.

        Without `--reference`: the warm start is scored once for a part, not once more with every model.
        """
        scores = self.out / "scores" / f"{part}-{name}.jsonl"
        if not scores.exists():
            scores.parent.mkdir(exist_ok=True)
            self.tbrm("score", "--model", model, "--data", self.data / f"{part}.jsonl", "--beta", 1, "--out", scores)
        return read(scores)

    def judge(self, model, part, name, beta):
        reference = self.score(self.warm, part, "warm")
        return judged(self.parts[part], self.score(model, part, name), reference, beta)

    def choose(self, method, betas):
        """The first seed's run at every beta and length, by its ranking of the validation part; the best comes first.

        Best is the highest mean of the two AUCs: unlike the residual, it can be compared across betas.
        """
        tried, most = [], self.args.lengths[-1]
        for beta in betas:
            run = self.fit(method, self.args.seeds[0], most, beta)
            for steps in self.args.lengths:
                model = run / "model" if steps == most else run / "checkpoints" / f"step_{steps:06}"
                completions = self.judge(model, "validation", f"{run.name}-{steps}", beta)
                aucs = ranking.auc(by_problem(completions, "implicit_reward"))
                tried.append({"beta": beta, "steps": steps, "model": str(model), "auc": aucs, **means(completions)})
        return sorted(tried, key=lambda t: -sum(t["auc"]))

    def measure(self, method, best, beta):
        """The held-out completions, judged by one model a seed, each trained as `best` was."""
        models = [Path(best["model"])]
        models += [self.fit(method, seed, best["steps"], best["beta"]) / "model" for seed in self.args.seeds[1:]]
        seeds = zip(self.args.seeds, models)
        return [self.judge(model, "heldout", f"{method}-seed{seed}", beta) for seed, model in seeds]

    def run(self):
        self.prepare()
        self.warm_start()
        checks = self.check(self.warm)
        tbrm = self.choose("tbrm", self.args.betas)
        beta = tbrm[0]["beta"]
        sft = self.choose("sft", [beta])
        heldout = {
            "warm start": [self.judge(self.warm, "heldout", "warm", beta)],
            "tbrm": self.measure("tbrm", tbrm[0], beta),
            "sft": self.measure("sft", sft[0], beta),
        }
        device = json.loads((self.out / "warm" / "config.json").read_text())
        result = {
            "settings": self.settings,
            "device": f"{device['adapter']}, {device['driver']}",
            "version": device["version"],
            "parts": {name: part_of(check) for name, check in checks.items()},
            "tried": {"tbrm": tbrm, "sft": sft},
            "beta": beta,
            "residual": {name: [means(completions) for completions in runs] for name, runs in heldout.items()},
            "auc": rankings(heldout),
            "minutes": sum(entry["seconds"] for entry in read(self.out / "seconds.jsonl")) / 60,
        }
        write(self.out / "results.json", json.dumps(result, indent=1) + "\n")
        write(self.out / "results.md", report.tables(result))


def as_logged(record):
    """A demonstration that ends as the logged solutions do, in `A: 72`: GSM8K's own files end in `#### 72`.

    Left as it is, the warm start would have learnt a final line that no logged solution has.
    """
    worked, mark, answer = record["completion"].rpartition("#### ")
    return {**record, "completion": f"{worked}A: {answer}"} if mark else record


def split(records, fit_problems, rng):
    """The logged completions, whole problems at a time: 20% held out, 10% for validation, the others to fit."""
    problems = {}
    for record in records:
        problems.setdefault(record["group"], []).append(record)
    order = list(problems.values())
    rng.shuffle(order)
    heldout, validation = round(0.2 * len(order)), round(0.1 * len(order))
    fit = order[heldout + validation :]
    parts = {
        "heldout": order[:heldout],
        "validation": order[heldout : heldout + validation],
        "fit": fit[: fit_problems or len(fit)],
    }
    return {name: [record for problem in part for record in problem] for name, part in parts.items()}


def part_of(check):
    keys = ("records", "rejected", "prompts", "prompts_with_contrast", "prompt_tokens", "completion_tokens")
    return {**{key: check[key] for key in keys}, "reward": check["reward"]["mean"]}


def judged(records, scores, reference, beta):
    """Every completion with what a model makes of it: delta = rho + V_1 - R / beta, rho against the reference."""
    completions = []
    for record, now, before in zip(records, scores, reference, strict=True):
        rho = now["logp"] - before["logp"]
        completions.append({
            "group": record["group"],
            "reward": record["reward"],
            "rho": rho,
            "implicit_reward": beta * rho,
            "v1": now["v1"],
            "residual": rho + now["v1"] - record["reward"] / beta,
            "mean_logp": now["logp"] / now["num_tokens"],
            "shortness": -now["num_tokens"],
        })
    return completions


def means(completions):
    def mean(of):
        return statistics.fmean(map(of, completions))

    result = {key: mean(lambda c: c[key]) for key in ("residual", "v1", "implicit_reward")}
    return {**result, "residual_rms": mean(lambda c: c["residual"] ** 2) ** 0.5}


def by_problem(completions, score):
    problems = {}
    for completion in completions:
        problems.setdefault(completion["group"], []).append((completion[score], completion["reward"]))
    return list(problems.values())


def rankings(heldout):
    """What ranks right over wrong completions, and how well: one row a ranking, with an AUC for each of its seeds."""
    rows = [("no model", "shortness", heldout["warm start"]), ("warm start", "mean_logp", heldout["warm start"])]
    scores = ("mean_logp", "implicit_reward")
    rows += [(method, score, heldout[method]) for method in ("sft", "tbrm") for score in scores]
    baseline = by_problem(heldout["warm start"][0], "mean_logp")
    result = []
    for model, score, runs in rows:
        scorers = [by_problem(completions, score) for completions in runs]
        aucs = [ranking.auc(scorer) for scorer in scorers]
        error = ranking.standard_error_of_gain(scorers, baseline)
        result.append({"model": model, "score": score, "auc": aucs, "gain_error": error})
    return result


if __name__ == "__main__":
    experiment = Experiment(arguments())
    try:
        experiment.run()
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    print((experiment.out / "results.md").read_text())
