//! The command line's options as the core's settings.

use tbrm_core::run::Options;

use crate::args::{Common, ObjectiveArgs, OptimizerArgs, OutputArgs, RecordArgs};

/// What the command line asks for; `None` for what fits the data.
pub(in crate::commands) fn options(
    objective: &ObjectiveArgs,
    optimizer: &OptimizerArgs,
    records: &RecordArgs,
    output: &OutputArgs,
    common: &Common,
) -> Options {
    let count = |n: Option<usize>| n.map(|n| n as u64);
    Options {
        objective: Some(objective.objective.into()),
        beta: objective.beta,
        kl_coefficient: objective.kl_coefficient,
        clip: objective.clip,
        clip_high: objective.clip_high,
        loss_type: objective.loss_type.map(Into::into),
        loss_length: objective.loss_length,
        value_beta: objective.value_beta,
        lambda: objective.lambda,
        hybrid_with: objective.hybrid_with.map(Into::into),
        gamma: objective.gamma,
        gae_lambda: objective.gae_lambda,
        kl_estimator: objective.kl_estimator.map(Into::into),
        value_coefficient: objective.value_coefficient,
        value_clip: objective.value_clip,
        learning_rate: optimizer.lr,
        schedule: Some(optimizer.schedule.into()),
        warmup: Some(optimizer.warmup as u64),
        steps: count(optimizer.steps),
        epochs: count(optimizer.epochs),
        batch: optimizer.batch,
        shuffle: Some(!optimizer.no_shuffle),
        seed: Some(common.seed),
        grad_clip: Some(optimizer.grad_clip),
        weight_decay: Some(optimizer.weight_decay),
        logit_scale: Some(objective.logit_scale),
        calibrate: Some(objective.calibrate.into()),
        reference_reset: count(objective.reference_reset),
        micro_batch_tokens: optimizer.micro_batch_tokens,
        checkpoint_every: count(output.checkpoint_every),
        max_length: records.max_length,
        truncated: Some(objective.truncated.into()),
        skip_invalid: Some(records.skip_invalid),
        keep: Some(output.keep),
        ..Options::default()
    }
}
