//! Generation in batches. A sequence's text is a function of the weights, its prompt, its random stream and the seed:
//! how many others are generated beside it, and in which slot, changes no bit of it.
//!
//! A prompt's keys and values enter a slot of the cache packed with other prompts' (all but its last token); then decode
//! steps, each a recorded plan, take the last token of every sequence and draw the next one on the device. The host
//! looks in every few steps (about once a second where a readback is slow): it collects what was drawn, lets waiting
//! prompts into free slots, and goes over to a plan of fewer rows when few sequences are left.

pub mod bench;
mod generation;
mod settings;
mod stop;

use std::borrow::Cow;
use std::collections::HashMap;

use crate::data::batch::bucket;
use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::buffer::Buffer;
use crate::gpu::kernels::sample::{SampleNext, SampleParams};
use crate::gpu::{Arena, Gpu, Plan, Recorder, Together, View};
use crate::model::Model;
use crate::model::cache::{KvCache, NO_SLOT, RowsIn};
use crate::ops::{Names, Ops, Variants};
use crate::platform::now;

pub use generation::{Completion, Generation, Progress, Prompt};
pub use settings::{RolloutConfig, Sampling, slots};
pub use stop::StopText;

use generation::Active;

/// Decode steps between two looks at the results, where a look costs little: a sequence that ends in between idles until then.
const STEPS: usize = 8;

/// Looks that may be left out, one after the other, where each of them is slow.
const LEFT_OUT: usize = 64;

/// Decode plans are not recorded for fewer rows than this: a product's tile is no smaller.
const FEWEST_ROWS: usize = 8;

/// Packed prompt tokens that enter the cache at a time, unless a single sequence may have more.
const PREFILL: usize = 1024;

/// Words of a row's state: done, tokens written, limit, random stream.
const STATE: usize = 4;

/// A model, ready to generate.
pub struct Rollout {
    gpu: Gpu,
    model: Model,
    config: RolloutConfig,
    variants: Variants,
    cache: KvCache,
    rows: RowsIn, // (slots) of decode steps
    state: View,  // (slots, STATE)
    out: View,    // (slots, capacity) the new tokens
    logp: View,   // (slots, capacity) their log-probs
    v1: View,     // (slots)
    stops: View,
    prompts: RowsIn,         // (prefill tokens)
    prompts_seq_start: View, // (prefill tokens)
    staging: Option<Buffer>, // made at the first use: a rehearsal has none
    looks: Together,         // of STEPS decode steps each
    stop_text: Option<StopText>,
    arena: Arena,
    decode: Vec<(usize, Plan)>, // by rows, ascending
    prefill: HashMap<usize, Plan>,
}

impl Rollout {
    /// Buffers and plans for `config`; the weights are `model`'s own, as they are whenever tokens are generated.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when the adapter has no room and says what to change; [`ErrorKind::Config`] when the model has
    /// not as many positions, or a setting makes no sense.
    pub fn new(gpu: &Gpu, model: &Model, config: RolloutConfig) -> Result<Rollout> {
        Rollout::with_variants(gpu, model, config, None)
    }

    /// As [`Rollout::new`], with these kernels instead of the table's.
    ///
    /// # Errors
    /// As [`Rollout::new`].
    pub fn with_variants(
        gpu: &Gpu,
        model: &Model,
        config: RolloutConfig,
        variants: Option<&Names>,
    ) -> Result<Rollout> {
        settings::check(model, &config)?;
        let table = || Variants::table(gpu.caps(), model.config.head_dim);
        let variants = variants.and_then(Variants::parse).unwrap_or_else(table);
        let RolloutConfig { slots, capacity, .. } = config;
        let prefill_tokens = bucket(capacity.max(PREFILL.min(slots * capacity)));
        let mut rollout = Rollout {
            gpu: gpu.clone(),
            model: model.clone(),
            variants,
            cache: KvCache::new(gpu, model, slots, capacity, variants.step_at_once)?,
            rows: RowsIn::new(gpu, "rollout", slots)?,
            state: gpu.storage("rollout.state", slots * STATE)?,
            out: gpu.storage("rollout.out", slots * capacity)?,
            logp: gpu.storage("rollout.logp", slots * capacity)?,
            v1: gpu.storage("rollout.v1", slots)?,
            stops: gpu.upload("rollout.stops", &config.stops)?,
            prompts: RowsIn::new(gpu, "prompts", prefill_tokens)?,
            prompts_seq_start: gpu.storage("prompts.seq_start", prefill_tokens)?,
            staging: None,
            looks: Together::new(gpu, LEFT_OUT),
            stop_text: None,
            config,
            arena: Arena::default(),
            decode: Vec::new(),
            prefill: HashMap::new(),
        };
        // The largest of each kind first: plans share the arena, which need not grow afterwards.
        rollout.prefill_plan(prefill_tokens)?;
        let mut rows = slots;
        loop {
            let plan = rollout.record_decode(rows)?;
            rollout.decode.insert(0, (rows, plan));
            if rows <= FEWEST_ROWS {
                return Ok(rollout);
            }
            rows = rows.div_ceil(2).max(FEWEST_ROWS);
        }
    }

    /// From now on a stop text ends a completion too.
    pub fn stop_at(&mut self, stop: StopText) {
        self.stop_text = Some(stop);
    }

    /// The text of a completion, without special tokens and up to where a stop text begins.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`].
    pub fn text(&self, tokenizer: &Tokenizer, completion: &Completion) -> Result<String> {
        match &self.stop_text {
            Some(stop) => stop.text(&completion.tokens),
            None => tokenizer.decode(&completion.tokens, false),
        }
    }

    /// Bytes of the KV cache, the activations and the rows' state; the weights are the model's.
    pub fn bytes(&self) -> u64 {
        let rows = |rows: &RowsIn| rows.tokens.bytes() + rows.positions.bytes() + rows.slots.bytes();
        let state = self.results_bytes() + self.stops.bytes();
        let prompts = rows(&self.prompts) + self.prompts_seq_start.bytes();
        self.cache.bytes() + self.arena.bytes() + rows(&self.rows) + state + prompts
    }

    /// Dispatches of a decode step, by the plan of the most sequences.
    pub fn dispatches(&self) -> usize {
        self.decode_plan(self.config.slots).dispatches()
    }

    /// Bytes of what comes back to the host, of all slots.
    fn results_bytes(&self) -> u64 {
        self.state.bytes() + self.out.bytes() + self.logp.bytes() + self.v1.bytes()
    }

    /// Continues every prompt; `progress` is told how far it is.
    ///
    /// # Errors
    /// As [`Rollout::begin`] and [`Generation::next`].
    pub async fn generate(
        &mut self,
        prompts: &[Prompt],
        mut progress: impl FnMut(Progress),
    ) -> Result<Vec<Completion>> {
        let mut generation = self.begin(prompts)?;
        while let Some(now) = generation.next().await? {
            progress(now);
        }
        Ok(generation.into_completions())
    }

    /// Begins to continue every prompt: nothing is drawn before [`Generation::next`].
    ///
    /// # Errors
    /// [`ErrorKind::Data`] names the prompt that is empty, too long or not of the model's vocabulary.
    pub fn begin<'a>(&'a mut self, prompts: impl Into<Cow<'a, [Prompt]>>) -> Result<Generation<'a>> {
        let prompts = prompts.into();
        for (i, prompt) in prompts.iter().enumerate() {
            self.check_prompt(prompt).map_err(|e| e.at(format!("prompt {}", i + 1)))?;
        }
        Ok(Generation::new(self, prompts))
    }

    /// What the buffers and plans are for.
    pub fn config(&self) -> &RolloutConfig {
        &self.config
    }

    fn check_prompt(&self, prompt: &Prompt) -> Result<()> {
        let (tokens, capacity, vocab) = (&prompt.tokens, self.config.capacity, self.model.dims.vocab);
        let error = |what: String, help: String| Err(Error::new(ErrorKind::Data, what, help));
        if tokens.is_empty() {
            return error("has no tokens".into(), "a model without a begin token needs at least one".into());
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocab) {
            return error(
                format!("token {token} is not in the model's vocabulary of {vocab}"),
                "use the tokenizer that belongs to the model".into(),
            );
        }
        let needed = tokens.len() + prompt.max_new.saturating_sub(1);
        if needed > capacity {
            return error(
                format!(
                    "{} tokens and {} new ones exceed {capacity} positions",
                    tokens.len(),
                    prompt.max_new
                ),
                match (capacity + 1).saturating_sub(tokens.len()) {
                    0 => "shorten the prompt".to_owned(),
                    fits => format!("generate at most {fits} new tokens, or shorten the prompt"),
                },
            );
        }
        Ok(())
    }

    /// Brings keys and values of all tokens but the last of each prompt into its slot.
    fn enter(&mut self, entering: &[(&Prompt, usize)]) -> Result<()> {
        let most = self.prompts.tokens.len();
        let mut at = 0;
        while at < entering.len() {
            let (mut tokens, mut positions, mut seq_start, mut slots) = (vec![], vec![], vec![], vec![]);
            while let Some((prompt, slot)) = entering.get(at) {
                let (_, before) = prompt.tokens.split_last().expect("checked: a prompt has tokens");
                if tokens.len() + before.len() > most {
                    break;
                }
                seq_start.resize(tokens.len() + before.len(), tokens.len() as u32);
                positions.extend(0..before.len() as u32);
                slots.resize(slots.len() + before.len(), *slot as u32);
                tokens.extend_from_slice(before);
                at += 1;
            }
            if tokens.is_empty() {
                continue;
            }
            let count = bucket(tokens.len());
            seq_start.extend(tokens.len() as u32..count as u32);
            positions.resize(count, 0);
            tokens.resize(count, 0u32);
            slots.resize(count, NO_SLOT);
            self.gpu.write(&self.prompts.tokens, &tokens);
            self.gpu.write(&self.prompts.positions, &positions);
            self.gpu.write(&self.prompts.slots, &slots);
            self.gpu.write(&self.prompts_seq_start, &seq_start);
            let gpu = self.gpu.clone();
            self.prefill_plan(count)?.submit(&gpu, None)?;
        }
        Ok(())
    }

    /// Tells the device which sequences its rows are now; rows beyond them idle.
    fn upload_rows(&self, active: &[Active], prompts: &[Prompt], completions: &[Completion]) {
        let count = self.decode_rows(active.len());
        let (mut tokens, mut positions) = (vec![0; count], vec![0; count]);
        let (mut slots, mut state) = (vec![NO_SLOT; count], vec![[1u32, 0, 0, 0]; count]);
        for (row, sequence) in active.iter().enumerate() {
            let (prompt, new) = (&prompts[sequence.index], &completions[sequence.index].tokens);
            tokens[row] = *new.last().or(prompt.tokens.last()).expect("checked: a prompt has tokens");
            positions[row] = (prompt.tokens.len() + new.len() - 1) as u32;
            slots[row] = sequence.slot as u32;
            state[row] = [0, new.len() as u32, prompt.max_new as u32, prompt.stream];
        }
        self.gpu.write(&self.rows.tokens, &tokens);
        self.gpu.write(&self.rows.positions, &positions);
        self.gpu.write(&self.rows.slots, &slots);
        self.gpu.write(&self.state, &state);
    }

    /// A few steps of every active sequence; returns how many tokens were drawn.
    async fn decode(
        &mut self,
        active: &[Active],
        prompts: &[Prompt],
        completions: &mut [Completion],
    ) -> Result<usize> {
        let (rows, capacity) = (self.decode_rows(active.len()), self.config.capacity);
        let left = |s: &Active| prompts[s.index].max_new - completions[s.index].tokens.len();
        let looks = self.looks.count();
        let steps = active.iter().map(left).max().unwrap_or(0).min(STEPS * looks);
        let began = now();
        self.decode_plan(rows).submit_times(&self.gpu, steps, None)?;
        let results = [
            self.state.slice(0, rows * STATE),
            self.v1.slice(0, rows),
            self.out.slice(0, rows * capacity),
            self.logp.slice(0, rows * capacity),
        ];
        if self.staging.is_none() {
            self.staging = Some(self.gpu.staging("rollout.results", self.results_bytes())?);
        }
        let staging = self.staging.as_ref().expect("made above");
        let mut encoder = self.gpu.encoder("rollout.results");
        let mut bytes = 0;
        for view in &results {
            view.encode_copy(&mut encoder, staging, bytes);
            bytes += view.bytes();
        }
        self.gpu.submit(encoder)?;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&self.gpu.map(staging, bytes).await?);
        self.looks.came(steps.div_ceil(STEPS), now() - began);
        let (state, rest) = words.split_at(rows * STATE);
        let (v1, rest) = rest.split_at(rows);
        let (out, logp) = rest.split_at(rows * capacity);
        let mut drawn = 0;
        for (row, sequence) in active.iter().enumerate() {
            let completion = &mut completions[sequence.index];
            let tokens = &mut completion.tokens;
            let new = row * capacity + tokens.len()..row * capacity + state[row * STATE + 1] as usize;
            if new.is_empty() {
                return Err(Error::new(
                    ErrorKind::NotFinite,
                    format!(
                        "prompt {}: the logits after {} new tokens are not finite",
                        sequence.index + 1,
                        tokens.len()
                    ),
                    "the weights are damaged or have diverged: use an earlier checkpoint",
                ));
            }
            if tokens.is_empty() {
                completion.v1 = f32::from_bits(v1[row]);
            }
            tokens.extend_from_slice(&out[new.clone()]);
            completion.logps.extend(logp[new.clone()].iter().map(|&bits| f32::from_bits(bits)));
            drawn += new.len();
        }
        Ok(drawn)
    }

    /// The rows of the smallest decode plan that has room for `active`.
    fn decode_rows(&self, active: usize) -> usize {
        let found = self.decode.iter().find(|(rows, _)| *rows >= active);
        found.expect("no more sequences than slots").0
    }

    fn decode_plan(&self, rows: usize) -> &Plan {
        &self.decode.iter().find(|(of, _)| *of == rows).expect("a plan for every size").1
    }

    fn record_decode(&mut self, rows: usize) -> Result<Plan> {
        let mut rec = Recorder::new("decode");
        let mut ops = Ops { rec: &mut rec, variants: self.variants };
        let logits = self.cache.decode(&mut ops, &self.model, rows, &self.rows);
        let sampling = self.config.sampling;
        let p = SampleParams {
            rows: rows as u32,
            vocab: self.model.dims.vocab as u32,
            stops: self.config.stops.len() as u32,
            capacity: self.config.capacity as u32,
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            seed: (sampling.seed ^ (sampling.seed >> 32)) as u32,
            kappa: self.config.logit_scale,
        };
        ops.run(SampleNext {
            p,
            logits: &logits,
            stop: &self.stops,
            tokens: &self.rows.tokens,
            position: &self.rows.positions,
            state: &self.state,
            out: &self.out,
            logp: &self.logp,
            v1: &self.v1,
        });
        rec.finish(&self.gpu, &mut self.arena)
    }

    fn prefill_plan(&mut self, count: usize) -> Result<&Plan> {
        if !self.prefill.contains_key(&count) {
            let mut rec = Recorder::new("prefill");
            let mut ops = Ops { rec: &mut rec, variants: self.variants };
            self.cache.prefill(&mut ops, &self.model, count, &self.prompts, &self.prompts_seq_start);
            let plan = rec.finish(&self.gpu, &mut self.arena)?;
            self.prefill.insert(count, plan);
        }
        Ok(&self.prefill[&count])
    }
}
