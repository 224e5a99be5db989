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
  metric("reward", "reward", "mean reward of the step's logged completions"),
  metric("residual", "residual (mean)", "mean of delta = rho + V1 − R/β, which TBRM drives to 0"),
  metric("residual_rms", "residual (RMS)", "root of the mean of delta²", true),
  metric("rho", "rho", "log-probability of the completions, now minus under the reference"),
  metric("v1", "V(s1)", "value of the prompts: log-sum-exp of the logits of the first token"),
  metric("grad_norm", "gradient norm", "the gradient's global norm before clipping", true),
  metric("tokens_per_s", "tokens/s", "prompt and completion tokens trained on in a second", true),
];

export const HELD_OUT: MetricInfo[] = [
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
