//! What the core calls a setting, as the command line calls it.

use tbrm_core::run::SETTINGS;

/// Options that are not named after their setting.
const OPTIONS: [(&str, &str); 3] =
    [("learning_rate", "--lr"), ("steps", "--steps or --epochs"), ("shuffle", "--no-shuffle")];

/// What a run is given besides its settings, and the settings of rollouts.
const INPUTS: [&str; 19] = [
    "model",
    "data",
    "eval_data",
    "prompts",
    "eval_prompts",
    "rollouts",
    "prompts_per_batch",
    "steps_per_batch",
    "replay",
    "max_new_tokens",
    "temperature",
    "top_k",
    "top_p",
    "data_share",
    "value_samples",
    "eval_samples",
    "stop",
    "set_aside_failures",
    "train_on",
];

/// Replaces every setting, which the core's messages put between backticks, by its option.
pub fn with_options(text: &str) -> String {
    let names = SETTINGS.iter().map(|setting| setting.name).chain(INPUTS);
    names.fold(text.to_owned(), |text, name| {
        let named = OPTIONS.iter().find(|(setting, _)| *setting == name);
        let option =
            named.map_or_else(|| format!("--{}", name.replace('_', "-")), |(_, option)| (*option).to_owned());
        text.replace(&format!("`{name}`"), &option)
    })
}
