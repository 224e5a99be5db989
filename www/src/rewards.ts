// Rewards as the settings of a run name them: `length:1-20`, `javascript:(record, completion) => 1`.

export interface Reward {
  kind: string;
  /** What stands behind the colon; empty where there is none. */
  argument: string;
  weight: number;
}

export function kindOf(text: string): string {
  return text.split(":", 1)[0] ?? text;
}

export function rewardOf(text: string, weight: number): Reward {
  const kind = kindOf(text);
  return { kind, argument: text.slice(kind.length + 1), weight };
}

/** Weights are left out where all are 1. */
export function settingsOf(rewards: Reward[]): { rewards: string[]; reward_weights?: number[] } {
  const named = rewards.map(({ kind, argument }) => (argument === "" ? kind : `${kind}:${argument}`));
  const weights = rewards.map(({ weight }) => weight);
  return weights.every((weight) => weight === 1)
    ? { rewards: named }
    : { rewards: named, reward_weights: weights };
}
