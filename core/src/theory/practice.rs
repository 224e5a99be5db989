//! A small decoder trained on a tree, on the device, by the same trainer as everything else.

use super::tree::{Policy, Tree};
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::{Model, ModelConfig};
use crate::objective::Objective;
use crate::train::{Engine, EngineConfig, Event, Schedule, Scored, Start, TrainConfig, Trainer};

/// What is trained, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Training {
    pub objective: Objective,
    pub beta: f64,
    pub steps: u64,
    pub learning_rate: f64,
    /// Of the weights.
    pub seed: u64,
    /// Steps between two looks at the policy; 0 for one at the end only.
    pub look_every: u64,
}

/// A trained policy beside the one that it started from.
pub(super) struct Trained {
    pub reference: Policy,
    pub policy: Policy,
    /// Steps done, and the policy then.
    pub looks: Vec<(u64, Policy)>,
    /// Before the first update, and before the last.
    pub losses: (f64, f64),
}

/// Trains a fresh decoder on `data`, all of it in every step, and looks at its policy.
pub(super) async fn train(
    gpu: &Gpu,
    tree: &Tree,
    data: Vec<Trajectory>,
    training: Training,
) -> Result<Trained> {
    let positions = 2 + tree.horizon;
    let config = TrainConfig {
        objective: training.objective,
        beta: training.beta,
        learning_rate: training.learning_rate,
        schedule: Schedule::Cosine,
        steps: training.steps,
        batch: data.len(),
        shuffle: false,
        grad_clip: 0.0,
        micro_batch_tokens: data.len() * positions,
        checkpoint_every: 0,
        ..TrainConfig::default()
    };
    let model = Model::fresh(gpu, &decoder(tree)?, positions, training.seed)?;
    let mut eye = Eye::new(gpu, tree, model.clone())?;
    let reference = tree.policy(&eye.score().await?);
    let (eval, key) = (Vec::new(), "tree".to_owned());
    let start = Start { model, data, eval, key, reference: None, variants: None, resume: None };
    let mut trainer = Trainer::new(gpu, &config, start)?;
    let (mut looks, mut losses) = (Vec::new(), Vec::new());
    while let Some(event) = trainer.next().await? {
        if let Event::Step(metrics) = event {
            losses.push(metrics.loss);
            // Later steps may be on their way: what is looked at is the policy after all that were submitted.
            if training.look_every > 0 && metrics.step.is_multiple_of(training.look_every) {
                looks.push((trainer.steps_done(), tree.policy(&eye.score().await?)));
            }
        }
    }
    let [Some(first), Some(last)] = [losses.first(), losses.last()] else {
        return Err(Error::new(ErrorKind::Config, "a check without a step of training", "give it steps"));
    };
    let policy = tree.policy(&eye.score().await?);
    Ok(Trained { reference, policy, looks, losses: (*first, *last) })
}

/// One layer is enough: the first action's state is the prompt, the others' the tokens before them.
pub(super) fn decoder(tree: &Tree) -> Result<ModelConfig> {
    Ok(ModelConfig {
        vocab_size: tree.actions,
        num_hidden_layers: 1,
        hidden_size: 32,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        head_dim: 16,
        intermediate_size: 64,
        max_position_embeddings: 2 + tree.horizon,
        tie_word_embeddings: false,
        ..ModelConfig::preset("nano")?
    })
}

/// Enumerates a tree by the weights as they are whenever it looks.
pub(super) struct Eye {
    engine: Engine,
    all: Vec<Trajectory>,
}

impl Eye {
    pub(super) fn new(gpu: &Gpu, tree: &Tree, model: Model) -> Result<Eye> {
        let all = tree.records();
        let config = EngineConfig {
            micro_batch_tokens: all.len() * (2 + tree.horizon),
            trajectories: all.len(),
            logit_scale: 1.0,
            submit_part: None,
        };
        Ok(Eye { engine: Engine::new(gpu, model, config, None)?, all })
    }

    /// Every trajectory of the tree, by the weights as they are.
    pub(super) async fn score(&mut self) -> Result<Vec<Scored>> {
        let all: Vec<&Trajectory> = self.all.iter().collect();
        self.engine.score(&all, |_| {}).await
    }
}
