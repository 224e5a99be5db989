/** The hash of frame.js, as a policy has it; the build fills it in (offline/policy.ts). */
declare const __REWARD_FRAME__: string;
