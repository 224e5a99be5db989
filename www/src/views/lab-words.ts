// Objectives in a few words each.

export const OBJECTIVES: Record<string, string> = {
  tbrm: "one residual a completion; any data",
  brm: "one residual a token: TBRM’s ablation",
  tba: "trajectory balance; any data",
  sft: "imitates the best of four answers",
  reinforce: "policy gradient; own answers",
  rloo: "policy gradient against the group’s others",
  grpo: "advantages scaled by the group’s spread",
  a2po: "regression of the advantage; any data",
  hybrid: "half TBRM, half GRPO",
  ppo: "with a critic beside the model",
  dpo: "pairs of a better and a worse answer",
};

export const described = (names: string[]) => names.map((name) => ({ name, about: OBJECTIVES[name] ?? "" }));
