//! Generation: what is drawn is what the model says, whatever is generated beside it.

use tbrm_core::data::tokenizer::Tokenizer;
use tbrm_core::data::trajectory::Trajectory;
use tbrm_core::gpu::{Caps, GpuOptions};
use tbrm_core::model::ModelConfig;
use tbrm_core::ops::Variants;
use tbrm_core::rollout::{Completion, Progress, Prompt, Rollout, RolloutConfig, Sampling, StopText};
use tbrm_core::train::{Engine, EngineConfig};
use tbrm_core::{Error, ErrorKind, Gpu, Model};
use tbrm_testing::{block_on, gpu_test};

const VOCAB: usize = 48;
const POSITIONS: usize = 64;
const STOP: u32 = 5;
const HEAD_DIM: usize = 8;

fn open() -> Gpu {
    block_on(Gpu::open(&GpuOptions::default())).unwrap_or_else(|e| panic!("{}; {}", e.what, e.help))
}

/// Small, with grouped heads, and with weights so large that its tokens depend on all tokens before.
fn model(gpu: &Gpu) -> Model {
    let config = ModelConfig {
        vocab_size: VOCAB,
        hidden_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: HEAD_DIM,
        intermediate_size: 48,
        initializer_range: 0.3,
        ..ModelConfig::preset("nano").expect("a preset")
    };
    Model::fresh(gpu, &config, POSITIONS, 11).expect("room")
}

fn drawn(temperature: f32) -> Sampling {
    Sampling { temperature, seed: 3, ..Sampling::GREEDY }
}

fn config(slots: usize, sampling: Sampling) -> RolloutConfig {
    RolloutConfig { slots, capacity: POSITIONS, sampling, stops: vec![STOP], logit_scale: 1.0 }
}

/// Of 1 to 30 tokens and up to 30 new ones.
fn prompts(count: u32) -> Vec<Prompt> {
    let prompt = |i: u32| Prompt {
        tokens: (0..1 + (i * 7) % 30).map(|t| (t * t + 3 * i) % VOCAB as u32).collect(),
        stream: i,
        max_new: 1 + (i as usize * 11) % 30,
    };
    (0..count).map(prompt).collect()
}

fn generate(rollout: &mut Rollout, prompts: &[Prompt]) -> Vec<Completion> {
    block_on(rollout.generate(prompts, |_| {})).unwrap_or_else(|e| panic!("{}; {}", e.what, e.help))
}

fn rollout(gpu: &Gpu, model: &Model, config: RolloutConfig) -> Rollout {
    Rollout::new(gpu, model, config).unwrap_or_else(|e| panic!("{}; {}", e.what, e.help))
}

fn engine(gpu: &Gpu, model: &Model) -> Engine {
    let config =
        EngineConfig { micro_batch_tokens: 2048, trajectories: 256, logit_scale: 1.0, submit_part: None };
    Engine::new(gpu, model.clone(), config, None).expect("room")
}

/// Log-probs of all tokens as the next one, by the forward of training.
fn next_logp(engine: &mut Engine, before: &[u32]) -> Vec<f64> {
    let trajectories: Vec<Trajectory> =
        (0..VOCAB as u32).map(|token| Trajectory::new(before.len(), [before, &[token]].concat())).collect();
    let all: Vec<&Trajectory> = trajectories.iter().collect();
    let scored = block_on(engine.score(&all, |_| {})).expect("the device runs it");
    scored.iter().map(|scored| f64::from(scored.logp[0])).collect()
}

gpu_test!(a_text_does_not_depend_on_what_is_generated_beside_it);
fn a_text_does_not_depend_on_what_is_generated_beside_it() {
    let gpu = open();
    let model = model(&gpu);
    let prompts = prompts(40);
    for sampling in [Sampling::GREEDY, drawn(1.0), Sampling { top_k: 9, top_p: 0.8, ..drawn(1.3) }] {
        let mut one = rollout(&gpu, &model, config(1, sampling));
        let alone: Vec<Completion> =
            prompts.iter().flat_map(|prompt| generate(&mut one, std::slice::from_ref(prompt))).collect();
        assert!(alone.iter().any(|c| c.finished) && alone.iter().any(|c| !c.finished), "{alone:?}");
        for slots in [3, 16, 40] {
            let mut many = rollout(&gpu, &model, config(slots, sampling));
            assert_eq!(generate(&mut many, &prompts), alone, "{slots} slots, {sampling:?}");
            let reversed: Vec<Prompt> = prompts.iter().rev().cloned().collect();
            let mut again = generate(&mut many, &reversed);
            again.reverse();
            assert_eq!(again, alone, "{slots} slots, the other way round, {sampling:?}");
        }
    }
}

gpu_test!(with_the_kernels_for_gpus_a_text_is_the_same_alone_and_beside_others);
/// A decode step on a GPU runs other kernels than here, and changes them with the number of its rows.
fn with_the_kernels_for_gpus_a_text_is_the_same_alone_and_beside_others() {
    let gpu = open();
    let model = model(&gpu);
    let prompts = prompts(80);
    let names = Variants::table(&Caps { software: false, ..gpu.caps().clone() }, HEAD_DIM).names();
    let with = |slots| {
        Rollout::with_variants(&gpu, &model, config(slots, Sampling::GREEDY), Some(&names)).expect("room")
    };
    let together = generate(&mut with(80), &prompts);
    // By themselves only some: a sequence at a time, these kernels take their time on a processor.
    let some: Vec<usize> = (0..80).step_by(5).collect();
    let mut one = with(1);
    for &i in &some {
        assert_eq!(generate(&mut one, &prompts[i..=i]), together[i..=i], "prompt {i} alone");
    }
    let few: Vec<Prompt> = some.iter().map(|&i| prompts[i].clone()).collect();
    let beside: Vec<Completion> = some.iter().map(|&i| together[i].clone()).collect();
    assert_eq!(generate(&mut with(5), &few), beside, "5 slots");
    let here = generate(&mut rollout(&gpu, &model, config(16, Sampling::GREEDY)), &prompts);
    for (there, here) in together.iter().zip(&here) {
        assert_eq!(there.tokens, here.tokens);
        for (there, here) in there.logps.iter().zip(&here.logps) {
            assert!((there - here).abs() < 1e-4, "{there} {here}");
        }
    }
}

gpu_test!(a_step_in_one_dispatch_is_the_kernels_one_by_one_to_the_bit);
/// Where the device's own table has no such step, both are the same kernels.
fn a_step_in_one_dispatch_is_the_kernels_one_by_one_to_the_bit() {
    let gpu = open();
    let grouped = model(&gpu);
    // Ends of a product that fill no block of 32 columns, and heads of the larger kind.
    let config_of = |head_dim, heads, ffn| ModelConfig {
        vocab_size: VOCAB - 4,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        intermediate_size: ffn,
        ..grouped.config.clone()
    };
    let other = |config| Model::fresh(&gpu, &config, POSITIONS, 12).expect("room");
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for model in [&grouped, &other(config_of(16, 3, 36)), &other(config_of(48, 9, 100))] {
        let table = Variants::table(gpu.caps(), model.config.head_dim);
        let one_by_one = Variants { step_at_once: false, ..table };
        let mut prompts = prompts(24 * threads as u32);
        for token in prompts.iter_mut().flat_map(|prompt| &mut prompt.tokens) {
            *token %= model.config.vocab_size as u32;
        }
        // One sequence for a workgroup, 8, 16 and 32, and workgroups that are not full.
        for slots in [1, 8 * threads - 3, 12 * threads, 16 * threads + 9] {
            let with = |variants: Variants| {
                // A capacity that leaves no layer of one slot aligned by itself.
                let config = RolloutConfig { capacity: 61, ..config(slots, drawn(1.0)) };
                let mut rollout =
                    Rollout::with_variants(&gpu, model, config, Some(&variants.names())).expect("room");
                // Drawing a token is a dispatch of its own.
                assert_eq!(rollout.dispatches() == 2, variants.step_at_once, "{slots} slots");
                let prompts = if slots == 1 { &prompts[..5] } else { &prompts[..] };
                let bits = |completion: Completion| {
                    let logps: Vec<u32> = completion.logps.iter().map(|logp| logp.to_bits()).collect();
                    (completion.tokens, logps, completion.v1.to_bits(), completion.finished)
                };
                generate(&mut rollout, prompts).into_iter().map(bits).collect::<Vec<_>>()
            };
            let (at_once, one_by_one) = (with(table), with(one_by_one));
            assert!(
                at_once.iter().all(|(_, logps, ..)| logps.iter().all(|&bits| f32::from_bits(bits) < 0.0))
            );
            assert_eq!(at_once, one_by_one, "{slots} slots, heads of {}", model.config.head_dim);
        }
    }
}

gpu_test!(streams_and_seeds_draw_anew);
fn streams_and_seeds_draw_anew() {
    let gpu = open();
    let model = model(&gpu);
    let with = |stream| Prompt { tokens: vec![1, 2, 3], stream, max_new: 20 };
    let of = |seed| {
        let sampling = Sampling { seed, ..drawn(1.0) };
        generate(&mut rollout(&gpu, &model, config(2, sampling)), &[with(0), with(1), with(0)])
    };
    let (first, other) = (of(0), of(1 << 32));
    assert_eq!(first[0], first[2]);
    assert_ne!(first[0], first[1]);
    assert_ne!(first[0], other[0], "the upper half of a seed counts");
}

gpu_test!(greedy_takes_the_most_likely_token_of_the_packed_forward);
fn greedy_takes_the_most_likely_token_of_the_packed_forward() {
    let gpu = open();
    let model = model(&gpu);
    let mut engine = engine(&gpu, &model);
    // Of many lengths, so that the host rewrites the rows while others are under way.
    let prompts: Vec<Prompt> = prompts(6)
        .into_iter()
        .map(|prompt| Prompt { max_new: 6 + 5 * prompt.stream as usize, ..prompt })
        .collect();
    let endless = RolloutConfig { stops: Vec::new(), ..config(4, Sampling::GREEDY) };
    let completions = generate(&mut rollout(&gpu, &model, endless), &prompts);
    let mut seen = std::collections::BTreeSet::new();
    for (prompt, completion) in prompts.iter().zip(&completions) {
        for (i, &token) in completion.tokens.iter().enumerate() {
            let logp = next_logp(&mut engine, &[&prompt.tokens, &completion.tokens[..i]].concat());
            let most = logp.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let short = most - logp[token as usize];
            // Two tokens may be as likely up to the rounding of two orders of summation.
            assert!(short <= 1e-4, "token {i} of {completion:?} is less likely than another by {short}");
            seen.insert(token);
        }
    }
    assert!(seen.len() > 8, "the model says too little to test: {seen:?}");
}

/// Pearson's chi-square over the tokens with enough expected counts, the rest together.
fn chi_square(counts: &[usize], probs: &[f64]) -> (f64, usize) {
    let n = counts.iter().sum::<usize>() as f64;
    let (mut cells, mut rest) = (Vec::new(), (0.0, 0.0));
    for (&count, &prob) in counts.iter().zip(probs) {
        if n * prob >= 5.0 {
            cells.push((count as f64, n * prob));
        } else {
            rest = (rest.0 + count as f64, rest.1 + n * prob);
        }
    }
    if rest.1 > 0.0 {
        cells.push(rest);
    }
    (cells.iter().map(|(seen, want)| (seen - want).powi(2) / want).sum(), cells.len() - 1)
}

gpu_test!(tokens_are_drawn_with_the_probabilities_of_the_packed_forward);
fn tokens_are_drawn_with_the_probabilities_of_the_packed_forward() {
    let gpu = open();
    let model = model(&gpu);
    let mut engine = engine(&gpu, &model);
    let prefix = [7, 1, 30, 2];
    let logp = next_logp(&mut engine, &prefix);
    for temperature in [1.0, 2.0] {
        let weights: Vec<f64> = logp.iter().map(|l| (l / temperature).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let probs: Vec<f64> = weights.iter().map(|w| w / sum).collect();
        let draws: Vec<Prompt> =
            (0..2000).map(|stream| Prompt { tokens: prefix.to_vec(), stream, max_new: 1 }).collect();
        let mut counts = vec![0; VOCAB];
        for c in generate(&mut rollout(&gpu, &model, config(64, drawn(temperature as f32))), &draws) {
            counts[c.tokens[0] as usize] += 1;
        }
        let (statistic, freedom) = chi_square(&counts, &probs);
        assert!(freedom >= 8, "{freedom} degrees of freedom test little");
        // Mean `freedom`, variance twice that: five standard deviations.
        let most = freedom as f64 + 5.0 * (2.0 * freedom as f64).sqrt();
        assert!(statistic <= most, "temperature {temperature}: chi-square {statistic} of {freedom}");
    }
}

gpu_test!(log_probs_and_values_are_those_of_the_packed_forward);
/// Whatever the temperature and the filters: they are the policy's, which is that of training.
fn log_probs_and_values_are_those_of_the_packed_forward() {
    let gpu = open();
    let model = model(&gpu);
    let prompts = prompts(20);
    for (logit_scale, sampling) in [
        (1.0, drawn(1.0)),
        (0.5, drawn(2.0)),
        (1.5, Sampling { top_k: 9, top_p: 0.8, ..drawn(0.7) }),
        (1.0, Sampling::GREEDY),
    ] {
        let of = RolloutConfig { logit_scale, ..config(6, sampling) };
        let completions = generate(&mut rollout(&gpu, &model, of), &prompts);
        let written: Vec<Trajectory> = prompts
            .iter()
            .zip(&completions)
            .map(|(prompt, c)| Trajectory::new(prompt.tokens.len(), [&prompt.tokens[..], &c.tokens].concat()))
            .collect();
        let config =
            EngineConfig { micro_batch_tokens: 512, trajectories: 64, logit_scale, submit_part: None };
        let mut engine = Engine::new(&gpu, model.clone(), config, None).expect("room");
        let all: Vec<&Trajectory> = written.iter().collect();
        let scored = block_on(engine.score(&all, |_| {})).expect("the device runs it");
        for (i, (c, scored)) in completions.iter().zip(&scored).enumerate() {
            assert_eq!(c.logps.len(), c.tokens.len());
            let near = |a: f32, b: f32| (a - b).abs() <= 1e-4;
            let what = format!("completion {i}, kappa {logit_scale}, {sampling:?}: {c:?} against {scored:?}");
            assert!(c.logps.iter().zip(&scored.logp).all(|(&a, &b)| near(a, b)), "{what}");
            assert!(near(c.v1, scored.v1), "{what}");
        }
    }
}

gpu_test!(a_text_ends_with_a_stop_token_or_at_its_limit);
fn a_text_ends_with_a_stop_token_or_at_its_limit() {
    let gpu = open();
    let model = model(&gpu);
    let prompts = prompts(12);
    let long: Vec<Prompt> = prompts.iter().map(|p| Prompt { max_new: 30, ..p.clone() }).collect();
    let without = RolloutConfig { stops: Vec::new(), ..config(5, drawn(1.0)) };
    let endless = generate(&mut rollout(&gpu, &model, without), &long);
    assert!(endless.iter().all(|c| c.tokens.len() == 30 && !c.finished));
    let stops = vec![STOP, 9, 40];
    let with = RolloutConfig { stops: stops.clone(), ..config(5, drawn(1.0)) };
    let ended = generate(&mut rollout(&gpu, &model, with), &prompts);
    for ((prompt, endless), ended) in prompts.iter().zip(&endless).zip(&ended) {
        let stop = endless.tokens.iter().position(|t| stops.contains(t)).map_or(usize::MAX, |i| i + 1);
        let length = stop.min(prompt.max_new);
        let want = Completion {
            tokens: endless.tokens[..length].to_vec(),
            logps: endless.logps[..length].to_vec(),
            v1: endless.v1,
            finished: stop <= prompt.max_new,
        };
        assert_eq!(*ended, want);
    }
}

gpu_test!(nothing_new_may_be_asked_for);
fn nothing_new_may_be_asked_for() {
    let gpu = open();
    let model = model(&gpu);
    let mut rollout = rollout(&gpu, &model, config(2, Sampling::GREEDY));
    assert_eq!(generate(&mut rollout, &[]), []);
    let prompts = [
        Prompt { tokens: vec![1], stream: 0, max_new: 0 },
        Prompt { tokens: vec![1], stream: 0, max_new: POSITIONS },
        Prompt { tokens: vec![1; POSITIONS], stream: 0, max_new: 1 },
    ];
    let mut reports: Vec<Progress> = Vec::new();
    let completions = block_on(rollout.generate(&prompts, |p| reports.push(p))).expect("runs");
    assert_eq!(completions[0], Completion::default());
    assert!(!completions[1].tokens.is_empty() && completions[2].tokens.len() == 1);
    let tokens = completions.iter().map(|c| c.tokens.len()).sum();
    assert_eq!(reports.last(), Some(&Progress { completions: 3, tokens }));
}

gpu_test!(the_weights_are_the_models_own);
fn the_weights_are_the_models_own() {
    let gpu = open();
    let model = model(&gpu);
    let prompts = prompts(4);
    let mut rollout = rollout(&gpu, &model, config(4, Sampling::GREEDY));
    let before = generate(&mut rollout, &prompts);
    let embed = 0;
    let mut weights = block_on(model.weights.read(&gpu)).expect("reads").swap_remove(embed);
    weights.iter_mut().step_by(2).for_each(|w| *w = -*w);
    model.weights.write(&gpu, embed, &weights);
    assert_ne!(generate(&mut rollout, &prompts), before);
}

gpu_test!(the_steady_state_makes_nothing);
fn the_steady_state_makes_nothing() {
    let gpu = open();
    let model = model(&gpu);
    let mut rollout = rollout(&gpu, &model, config(12, drawn(1.0)));
    let prompts = prompts(30);
    let first = generate(&mut rollout, &prompts);
    let made = gpu.made();
    assert_eq!(generate(&mut rollout, &prompts), first);
    assert_eq!(gpu.made(), made);
}

gpu_test!(memory_is_known_before_it_is_taken);
fn memory_is_known_before_it_is_taken() {
    let gpu = open();
    let model = model(&gpu);
    let rehearsal = gpu.rehearse();
    let planned = rollout(&rehearsal, &model, config(12, drawn(1.0))).bytes();
    let mut real = rollout(&gpu, &model, config(12, drawn(1.0)));
    generate(&mut real, &prompts(30));
    assert_eq!(real.bytes(), planned);
    // Keys and values: 2 layers, 12 slots, 2 heads of 8 channels, 4 bytes.
    assert!(planned > 2 * 2 * 12 * POSITIONS as u64 * 16 * 4);
    // What the rehearsal counted rounds every buffer up, and an arena that had to grow would be counted twice.
    let counted = rehearsal.rehearsed_bytes();
    assert!(counted >= planned && counted < planned + 256 * 20, "{counted} against {planned}");
}

fn refusal<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

gpu_test!(what_cannot_be_done_is_refused);
fn what_cannot_be_done_is_refused() {
    let gpu = open();
    let model = model(&gpu);
    let mut rollout = rollout(&gpu, &model, config(2, Sampling::GREEDY));
    let good = Prompt { tokens: vec![1, 2], stream: 0, max_new: 4 };
    for (bad, what, help) in [
        (Prompt { tokens: vec![], ..good.clone() }, "prompt 2: has no tokens", "at least one"),
        (Prompt { tokens: vec![1, VOCAB as u32], ..good.clone() }, "prompt 2: token 48", "tokenizer"),
        (Prompt { tokens: vec![1; 60], max_new: 6, ..good.clone() }, "60 tokens and 6 new", "at most 5"),
        (Prompt { tokens: vec![1; 65], ..good.clone() }, "65 tokens and 4 new", "shorten the prompt"),
    ] {
        let error = refusal(block_on(rollout.generate(&[good.clone(), bad], |_| {})));
        assert!(error.kind == ErrorKind::Data && error.what.contains(what), "{error:?}");
        assert!(error.help.contains(help), "{error:?}");
    }
    let config = config(2, drawn(1.0));
    for bad in [
        RolloutConfig { slots: 0, ..config.clone() },
        RolloutConfig { capacity: POSITIONS + 1, ..config.clone() },
        RolloutConfig { sampling: drawn(-1.0), ..config.clone() },
        RolloutConfig { sampling: drawn(f32::NAN), ..config.clone() },
        RolloutConfig { sampling: Sampling { top_p: 0.0, ..drawn(1.0) }, ..config.clone() },
    ] {
        assert_eq!(refusal(Rollout::new(&gpu, &model, bad)).kind, ErrorKind::Config);
    }
    let error = refusal(Rollout::new(&gpu, &model, RolloutConfig { slots: 1 << 24, ..config }));
    assert!(error.kind == ErrorKind::TooLarge && error.help.contains("at most"), "{error:?}");
}

gpu_test!(weights_that_are_not_finite_are_found_out);
fn weights_that_are_not_finite_are_found_out() {
    let gpu = open();
    let model = model(&gpu);
    let last = model.specs.len() - 1;
    let shape = &model.specs[last].shape;
    model.weights.write(&gpu, last, &vec![f32::NAN; shape[0] * shape[1]]);
    for sampling in [Sampling::GREEDY, drawn(1.0), Sampling { top_k: 5, top_p: 0.5, ..drawn(1.0) }] {
        let mut rollout = rollout(&gpu, &model, config(2, sampling));
        let error = refusal(block_on(rollout.generate(&prompts(3), |_| {})));
        assert!(error.kind == ErrorKind::NotFinite && error.what.contains("prompt 1"), "{error:?}");
    }
}

gpu_test!(a_stop_text_ends_a_completion_at_its_last_token_whatever_the_batch);
fn a_stop_text_ends_a_completion_at_its_last_token_whatever_the_batch() {
    let gpu = open();
    let (model, tokenizer, prompts) = (model(&gpu), Tokenizer::bytes().expect("embedded"), prompts(14));
    let without = generate(&mut rollout(&gpu, &model, config(6, drawn(1.0))), &prompts);
    let text = |tokens: &[u32]| tokenizer.decode(tokens, false).expect("decodes");
    // Two tokens in a row of one completion, and a token that many have.
    let longest = without.iter().max_by_key(|c| c.tokens.len()).expect("some");
    let stops = [text(&longest.tokens[9..11]), text(&[13]), text(&[40])];
    let end = |tokens: &[u32]| {
        (1..=tokens.len()).find(|&end| stops.iter().any(|stop| text(&tokens[..end]).contains(stop)))
    };
    let cut: Vec<Option<usize>> = without.iter().map(|c| end(&c.tokens)).collect();
    assert!(cut.iter().flatten().count() >= 3, "nothing to test: {cut:?}");
    assert!(cut.iter().zip(&without).any(|(cut, c)| cut.is_some_and(|end| end < c.tokens.len())));
    for slots in [1, 6, 14] {
        let mut rollout = rollout(&gpu, &model, config(slots, drawn(1.0)));
        rollout.stop_at(StopText::new(&tokenizer, &stops).expect("texts"));
        let mut tokens = 0;
        let generated = block_on(rollout.generate(&prompts, |progress| tokens = progress.tokens));
        let with = generated.unwrap_or_else(|e| panic!("{}; {}", e.what, e.help));
        for ((plain, stopped), cut) in without.iter().zip(&with).zip(&cut) {
            let len = cut.unwrap_or(plain.tokens.len());
            assert_eq!(stopped.tokens, plain.tokens[..len], "{slots} slots");
            assert_eq!(stopped.logps, plain.logps[..len]);
            assert_eq!((stopped.v1, stopped.finished), (plain.v1, cut.is_some() || plain.finished));
            let said = rollout.text(&tokenizer, stopped).expect("decodes");
            assert!(
                text(&stopped.tokens).starts_with(&said) && !stops.iter().any(|stop| said.contains(stop))
            );
        }
        assert_eq!(tokens, with.iter().map(|c| c.tokens.len()).sum::<usize>());
    }
}
