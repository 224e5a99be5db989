//! Times the kernels that a training step spends most on, each alone, at the sizes of the presets:
//! `cargo bench -p tbrm-core [-- FILTER]`, where FILTER is a part of a line's first two columns. Prints a table in
//! Markdown. Beside each figure stands the best that is known to be possible: for products what a BLAS reaches, for
//! attention the best product of the same run, for the head what the copy kernel moves.

use std::sync::Arc;
use std::time::Instant;

use tbrm_core::Result;
use tbrm_core::gpu::kernels::attention::{AttentionBwdKv, AttentionBwdQ, AttentionFwd, AttentionParams};
use tbrm_core::gpu::kernels::copy::{CopyFwd, CopyParams};
use tbrm_core::gpu::kernels::head::{HeadBwd, HeadParams, HeadStats};
use tbrm_core::gpu::pages::{Layout, Pages};
use tbrm_core::gpu::{Arena, Gpu, GpuOptions, Recorder, View};
use tbrm_core::model::{PRESETS, Preset};
use tbrm_core::ops::matmul::Addends;
use tbrm_core::ops::{Ops, Variants};
use tbrm_core::rng::Stream;

/// GFLOP/s of OpenBLAS on two cores (AMD EPYC with AVX-512): what a software adapter could reach there.
const BLAS: f64 = 196.0;

/// Timed submits, of which the median counts.
const RUNS: usize = 5;

/// Seconds of one of them: its own overhead must not count.
const SECONDS: f64 = 0.1;

/// Rows of the head in one dispatch at most.
const HEAD_ROWS: usize = 512;

/// What a dispatch does, in units of 1e9.
enum Work {
    Flops(f64),
    Bytes(f64),
}

/// Records one dispatch, or the few that make up an operation.
type Record<'a> = &'a dyn Fn(&mut Ops<'_>);

/// A line of the table.
struct Case<'a> {
    name: &'a str,
    size: &'a str,
    /// The variant that `variants` picks.
    variant: &'a str,
    variants: Variants,
    work: Work,
    /// The best known rate, in 1e9 a second.
    limit: Option<f64>,
    record: Record<'a>,
    /// What it writes.
    out: &'a View,
}

struct Bench {
    gpu: Gpu,
    filter: String,
    /// The best rates so far: limits of what comes later.
    product: Option<f64>,
    copy: Option<f64>,
}

fn main() -> Result<()> {
    // `cargo test --all-targets` starts benches too, but without this.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let gpu = pollster::block_on(Gpu::open(&GpuOptions::default()))?;
    let info = gpu.info();
    println!("{} ({:?}, {} {})\n", info.name, info.backend, info.driver, info.driver_info);
    println!("| kernel | size | variant | ms | rate | limit | of the limit |\n|---|---|---|---|---|---|---|");
    // The largest preset takes a processor many minutes.
    let presets = if gpu.caps().software { &PRESETS[..3] } else { &PRESETS[..] };
    let mut bench = Bench { gpu, filter, product: None, copy: None };
    bench.copy()?;
    presets.iter().try_for_each(|preset| bench.products(preset))?;
    presets.iter().try_for_each(|preset| bench.attention(preset))?;
    presets.iter().try_for_each(|preset| bench.head(preset))
}

impl Bench {
    fn random(&self, len: usize) -> Result<View> {
        let stream = Stream::named(1, "bench");
        let data: Vec<f32> = (0..len as u64).map(|i| (2.0 * stream.uniform(i) - 1.0) as f32).collect();
        self.gpu.upload("bench", &data)
    }

    fn zeros(&self, len: usize) -> Result<View> {
        self.gpu.storage("bench", len)
    }

    /// Prints the case, if the filter lets it through, and returns its rate in 1e9 a second.
    fn time(&self, case: &Case<'_>) -> Result<Option<f64>> {
        let Case { name, size, variant, .. } = case;
        if !format!("{name} {size}").contains(&self.filter) {
            return Ok(None);
        }
        let seconds = self.seconds(case)?;
        let (rate, unit) = match case.work {
            Work::Flops(flops) => (flops / seconds, "GFLOP/s"),
            Work::Bytes(bytes) => (bytes / seconds, "GB/s"),
        };
        let (limit, share) = match case.limit {
            Some(limit) => (format!("{limit:.0}"), format!("{:.0}%", 100.0 * rate / limit)),
            None => ("not known".to_owned(), String::new()),
        };
        let ms = 1e3 * seconds;
        println!("| {name} | {size} | {variant} | {ms:.3} | {rate:.1} {unit} | {limit} | {share} |");
        Ok(Some(rate))
    }

    /// Median seconds of one dispatch among many of a submit.
    fn seconds(&self, case: &Case<'_>) -> Result<f64> {
        let submits = |dispatches: usize, runs: usize| -> Result<Vec<f64>> {
            let mut rec = Recorder::new("bench");
            let mut ops = Ops { rec: &mut rec, variants: case.variants };
            (0..dispatches).for_each(|_| (case.record)(&mut ops));
            let plan = rec.finish(&self.gpu, &mut Arena::default())?;
            let submit = |_| {
                let start = Instant::now();
                plan.submit(&self.gpu, None)?;
                // The readback waits for everything before it.
                pollster::block_on(self.gpu.read::<u32>(&case.out.slice(0, 1)))?;
                Ok(start.elapsed().as_secs_f64())
            };
            (0..runs).map(submit).collect()
        };
        // The first submit compiles.
        let one = submits(1, 2)?[1];
        let dispatches = (SECONDS / one).ceil().clamp(1.0, 1000.0) as usize;
        let mut times = submits(dispatches, RUNS)?;
        times.sort_by(f64::total_cmp);
        Ok(times[RUNS / 2] / dispatches as f64)
    }

    /// What the device moves, read and written.
    fn copy(&mut self) -> Result<()> {
        let count = 16 << 20; // larger than the caches of most processors
        let (x, out) = (self.random(count)?, self.zeros(count)?);
        let p = CopyParams { count: count as u32 };
        self.copy = self.time(&Case {
            name: "copy_fwd",
            size: &format!("{count} floats"),
            variant: "base",
            variants: Variants::table(self.gpu.caps(), 64),
            work: Work::Bytes(8.0 * count as f64 / 1e9),
            limit: None,
            record: &|ops| ops.run(CopyFwd { p, x: &x, out: &out }),
            out: &out,
        })?;
        Ok(())
    }

    /// The three products of the layers' and the head's weights w(N, K): x w^T, dy w, and dw += dy^T x.
    fn products(&mut self, preset: &Preset) -> Result<()> {
        let [vocab, _, c, heads, kv_heads, f] = preset.shape;
        let tokens = preset.tokens * preset.sequences;
        let qkv = (heads + 2 * kv_heads) * (c / heads);
        let variants = Variants::table(self.gpu.caps(), c / heads);
        for (m, n, k) in
            [(tokens, qkv, c), (tokens, 2 * f, c), (tokens, c, f), (tokens.min(HEAD_ROWS), vocab, c)]
        {
            let layout = Arc::new(Layout::new(&[(n, k)], (self.gpu.caps().max_binding / 4) as usize));
            let [w, dw] = [Pages::new(&self.gpu, "w", layout.clone())?, Pages::new(&self.gpu, "dw", layout)?];
            w.write(&self.gpu, 0, &vec![0.5; n * k]);
            let (w, dw) = (w.matrix(0), dw.matrix(0));
            let (x, dy) = (self.random(m * k)?, self.random(m * n)?);
            let (y, dx) = (self.zeros(m * n)?, self.zeros(m * k)?);
            let cases: [(&str, Record<'_>, &View); 3] = [
                ("matmul_nt", &|ops| ops.linear_fwd(m, &x, &w, Addends::default(), &y), &y),
                ("matmul_nn", &|ops| ops.linear_bwd_x(m, &dy, &w, &dx), &dx),
                ("matmul_tn", &|ops| ops.linear_bwd_w(m, &dy, &x, &dw, None), &dw.parts[0].view),
            ];
            for (name, record, out) in cases {
                let rate = self.time(&Case {
                    name,
                    size: &format!("{} {m} x {n} x {k}", preset.name),
                    variant: variants.matmul.vec4.name(),
                    variants,
                    work: Work::Flops(2.0 * (m * n * k) as f64 / 1e9),
                    limit: self.gpu.caps().software.then_some(BLAS),
                    record,
                    out,
                })?;
                self.product = self.product.into_iter().chain(rate).reduce(f64::max);
            }
        }
        Ok(())
    }

    /// Attention over the packed sequences of one step.
    fn attention(&self, preset: &Preset) -> Result<()> {
        let [_, _, c, heads, kv_heads, _] = preset.shape;
        let (d, tokens) = (c / heads, preset.tokens * preset.sequences);
        let variants = Variants::table(self.gpu.caps(), d);
        let starts: Vec<u32> = (0..tokens).map(|t| (t / preset.tokens * preset.tokens) as u32).collect();
        let ends: Vec<u32> = starts.iter().map(|start| start + preset.tokens as u32).collect();
        let (seq_start, seq_end) =
            (&self.gpu.upload("seq_start", &starts)?, &self.gpu.upload("seq_end", &ends)?);
        let width = (heads + 2 * kv_heads) * d;
        let (qkv, dqkv) = (&self.random(tokens * width)?, &self.zeros(tokens * width)?);
        let (out, dout) = (&self.zeros(tokens * c)?, &self.random(tokens * c)?);
        let (lse, delta) = (&self.zeros(tokens * heads)?, &self.zeros(tokens * heads)?);
        let p = AttentionParams {
            tokens: tokens as u32,
            heads: heads as u32,
            kv_heads: kv_heads as u32,
            head_size: d as u32,
            scale: 1.0 / (d as f32).sqrt(),
        };
        let fwd = AttentionFwd { p, qkv, seq_start, out, lse };
        let bwd_q = AttentionBwdQ { p, qkv, seq_start, dout, lse, delta, dqkv };
        let bwd_kv = AttentionBwdKv { p, qkv, dout, seq_end, lse, delta, dqkv };
        // Pairs of a query and a key that it sees; each costs so many products over the head.
        let pairs = heads * preset.sequences * preset.tokens * (preset.tokens + 1) / 2;
        let cases: [(&str, usize, Record<'_>, &View); 3] = [
            ("attention_fwd", 2, &|ops| ops.run(fwd), out),
            ("attention_bwd_q", 3, &|ops| ops.run(bwd_q), dqkv),
            ("attention_bwd_kv", 4, &|ops| ops.run(bwd_kv), dqkv),
        ];
        for (name, products, record, out) in cases {
            self.time(&Case {
                name,
                size: &format!("{} {} x {}, H {heads}, D {d}", preset.name, preset.sequences, preset.tokens),
                variant: variants.attention.name(),
                variants,
                work: Work::Flops((2 * products * d * pairs) as f64 / 1e9),
                limit: self.product,
                record,
                out,
            })?;
        }
        Ok(())
    }

    /// The head's statistics and gradient over one tile of rows.
    fn head(&self, preset: &Preset) -> Result<()> {
        let [vocab, _, c, heads, ..] = preset.shape;
        let rows = HEAD_ROWS.min(preset.tokens * preset.sequences);
        let variants = Variants::table(self.gpu.caps(), c / heads);
        let (targets, logits) =
            (&self.gpu.upload("targets", &vec![1u32; rows])?, &self.random(rows * vocab)?);
        let (lse, chosen, entropy) = (&self.zeros(rows)?, &self.zeros(rows)?, &self.zeros(rows)?);
        let (a, b) = (&self.random(rows)?, &self.random(rows)?);
        let p = HeadParams {
            rows: rows as u32,
            vocabulary: vocab as u32,
            stride: vocab as u32,
            row0: 0,
            kappa: 1.0,
        };
        let stats = HeadStats { p, targets, logits, lse, chosen, entropy };
        let bwd = HeadBwd { p, targets, lse, a, b, logits };
        // The logits must be read once, and written once by the gradient.
        let cases: [(&str, usize, Record<'_>, &View); 2] =
            [("head_stats", 1, &|ops| ops.run(stats), lse), ("head_bwd", 2, &|ops| ops.run(bwd), logits)];
        for (name, passes, record, out) in cases {
            self.time(&Case {
                name,
                size: &format!("{} {rows} x {vocab}", preset.name),
                variant: variants.head.vec4.name(),
                variants,
                work: Work::Bytes((4 * passes * rows * vocab) as f64 / 1e9),
                limit: self.copy,
                record,
                out,
            })?;
        }
        Ok(())
    }
}
