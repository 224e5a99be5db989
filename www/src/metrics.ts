// The curves of a run, in the order in which they are shown.

export interface MetricInfo {
  key: string;
  label: string;
  help: string;
  /** Whether it has a logarithm: it is never negative. */
  positive: boolean;
}

const metric = (key: string, label: string, help: string, positive = false): MetricInfo => ({
  key,
  label,
  help,
  positive,
});

export const METRICS: MetricInfo[] = [
  metric("loss", "loss", "what is minimised: for TBRM the mean of the squared residual", true),
  metric("reward", "reward", "mean reward of the step's completions"),
  metric("residual", "residual (mean)", "mean of delta = rho + V1 − R/β, which TBRM drives to 0"),
  metric("residual_rms", "residual (RMS)", "root of the mean of delta²", true),
  metric("rho", "rho", "log-probability of the completions, now minus under the reference"),
  metric("v1", "V(s1)", "value of the prompts: log-sum-exp of the logits of the first token"),
  metric("grad_norm", "gradient norm", "the gradient's global norm before clipping", true),
  metric("tokens_per_s", "tokens/s", "prompt and completion tokens trained on in a second", true),
];

/** Of a run that draws its own completions. */
export const ONLINE: MetricInfo[] = [
  metric(
    "kl_sampled",
    "KL",
    "mean of rho over the newest answers: how far the model has moved from the reference",
  ),
  metric(
    "completions/mean_length",
    "length of the answers",
    "mean number of tokens, the end token with them",
    true,
  ),
  metric(
    "completions/clipped_ratio",
    "cut off",
    "share of answers that reached the longest that they may be",
  ),
];

/** The mean of each reward, where there are several: with one it is the reward. */
export function rewardMeans(names: string[]): MetricInfo[] {
  const means = names.flatMap((name) => /^rewards\/(.+)\/mean$/.exec(name)?.[1] ?? []);
  if (means.length < 2) return [];
  return means.map((name) =>
    metric(`rewards/${name}/mean`, `reward ${name}`, `mean of the reward ${name}, before its weight`),
  );
}

export const HELD_OUT: MetricInfo[] = [
  metric(
    "eval/reward",
    "held-out reward",
    "mean reward of answers to held-out prompts; where it is 1 or 0, the accuracy",
  ),
  metric(
    "eval/accuracy",
    "held-out accuracy",
    "share of sampled answers to held-out problems that are right",
  ),
  metric(
    "eval/auc",
    "held-out ranking (AUC)",
    "share of pairs of held-out completions that rho puts in the order of their rewards",
  ),
  metric("eval/loss", "held-out loss", "the objective on held-out records", true),
  metric(
    "eval/residual_rms",
    "held-out residual (RMS)",
    "root of the mean of delta² on held-out records",
    true,
  ),
];

export const OTHERS: MetricInfo[] = [
  metric("entropy", "entropy", "of the next-token distribution, in nats a token"),
  metric("learning_rate", "learning rate", "of the step", true),
];
