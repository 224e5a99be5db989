//! The engine under the kernels: plans that are recorded once and replayed, tensors that share memory, and what is
//! refused.

use std::sync::OnceLock;

use tbrm_core::ErrorKind;
use tbrm_core::gpu::kernels::copy::{CopyFwd, CopyParams};
use tbrm_core::gpu::kernels::matmul::{MatmulNn, MatmulNt, MatmulParams};
use tbrm_core::gpu::kernels::mlp::{MlpFwd, MlpParams};
use tbrm_core::gpu::kernels::rows::{RowsFwd, RowsParams};
use tbrm_core::gpu::{Arena, Gpu, GpuOptions, Plan, Profile, Recorder, View};
use tbrm_core::ops::{Ops, Variants};
use tbrm_core::reference::sample::{hash, uniform};
use tbrm_testing::{block_on, gpu_test};

fn open(options: &GpuOptions) -> Gpu {
    block_on(Gpu::open(options)).unwrap_or_else(|e| panic!("{}; {}", e.what, e.help))
}

fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| open(&GpuOptions::default()))
}

fn random(stream: u32, length: usize) -> Vec<f32> {
    (0..length as u32).map(|i| (2.0 * uniform(7, stream, i) - 1.0) as f32).collect()
}

fn read(gpu: &Gpu, view: &View) -> Vec<u32> {
    block_on(gpu.read(view)).expect("the device answers")
}

fn square(n: usize) -> MatmulParams {
    let n = n as u32;
    MatmulParams { m: n, n, k: n, lda: n, ldo: n, ..MatmulParams::default() }
}

fn copy<'a>(x: &'a View, out: &'a View) -> CopyFwd<'a> {
    CopyFwd { p: CopyParams { count: x.len() as u32 }, x, out }
}

/// A plan of products, a copy and a clear through planned tensors, and its outputs.
struct Case {
    plan: Plan,
    arena: Arena,
    outs: [View; 2],
}

const N: usize = 36;

impl Case {
    fn new(gpu: &Gpu) -> Case {
        let [a, b] = [1, 2].map(|stream| gpu.upload("input", &random(stream, N * N)).expect("room"));
        let outs = ["one", "two"].map(|name| gpu.storage(name, N * N).expect("room"));
        let mut rec = Recorder::new("case");
        let tensors: Vec<View> = (0..7).map(|i| rec.tensor(format!("t{i}"), N * N)).collect();
        let variants = Variants::table(gpu.caps(), 64);
        let mut ops = Ops { rec: &mut rec, variants };
        let p = square(N);
        ops.run(MatmulNt { p, a: &a, w: &b, out: &tensors[0] });
        ops.run(MatmulNn { p, a: &tensors[0], w: &b, out: &tensors[1] });
        ops.run(copy(&tensors[1], &tensors[2]));
        ops.run(MatmulNt { p, a: &tensors[1], w: &tensors[0], out: &tensors[3] });
        ops.rec.clear(&tensors[4]);
        let accumulate = MatmulParams { accumulate: 1, ..p };
        ops.run(MatmulNn { p: accumulate, a: &tensors[2], w: &tensors[3], out: &tensors[4] });
        ops.run(MatmulNt { p, a: &tensors[4], w: &a, out: &tensors[5] });
        ops.run(MatmulNt { p, a: &tensors[5], w: &tensors[2], out: &outs[0] });
        ops.run(MatmulNn { p, a: &tensors[5], w: &tensors[4], out: &outs[1] });
        let mut arena = Arena::default();
        let plan = rec.finish(gpu, &mut arena).expect("the case fits");
        Case { plan, arena, outs }
    }

    /// Runs on poisoned memory, in parts of at most `part` commands.
    fn run(&self, gpu: &Gpu, part: Option<usize>) -> [Vec<u32>; 2] {
        self.arena.poison(gpu);
        self.outs.iter().for_each(|out| gpu.write(out, &[f32::NAN; N * N]));
        self.plan.submit(gpu, part).expect("the device runs it");
        let words = [0, 1].map(|i| read(gpu, &self.outs[i]));
        assert!(words.iter().flatten().all(|word| f32::from_bits(*word).is_finite()), "poison came through");
        words
    }
}

gpu_test!(a_replay_gives_the_same_bits);
fn a_replay_gives_the_same_bits() {
    let case = Case::new(gpu());
    let first = case.run(gpu(), None);
    for _ in 0..3 {
        assert!(case.run(gpu(), None) == first);
    }
    assert!(Case::new(gpu()).run(gpu(), None) == first, "another recording of the same case");
}

gpu_test!(the_parts_of_a_submission_do_not_show);
fn the_parts_of_a_submission_do_not_show() {
    let case = Case::new(gpu());
    let whole = case.run(gpu(), None);
    for part in [1, 2, 3, 1000] {
        assert!(case.run(gpu(), Some(part)) == whole, "parts of {part}");
    }
}

gpu_test!(the_work_of_a_submit_follows_the_measured_time);
fn the_work_of_a_submit_follows_the_measured_time() {
    let case = Case::new(gpu());
    assert_eq!(case.plan.part(), 1, "nothing is known of a new plan");
    let first = case.run(gpu(), None);
    // A machine that is held up measures long times: sooner or later it is not.
    let grew = (0..100).any(|_| {
        assert!(case.run(gpu(), None) == first, "parts of {}", case.plan.part());
        case.plan.part() > 1
    });
    assert!(grew);
}

gpu_test!(a_replay_makes_nothing);
fn a_replay_makes_nothing() {
    // A device of its own: other tests make things meanwhile.
    let gpu = &open(&GpuOptions::default());
    let case = Case::new(gpu);
    case.plan.submit(gpu, None).expect("the device runs it");
    let made = gpu.made();
    assert!(made.buffers > 0 && made.pipelines > 0 && made.bind_groups > 0, "{made:?}");
    for part in [None, Some(2), None] {
        case.plan.submit(gpu, part).expect("the device runs it");
    }
    assert_eq!(gpu.made(), made);
    read(gpu, &case.outs[0]);
    assert_eq!(gpu.made().buffers, made.buffers + 1, "reading back makes its staging buffer, and is counted");
}

gpu_test!(compiled_kernels_go_from_one_device_to_the_next);
fn compiled_kernels_go_from_one_device_to_the_next() {
    let first = &open(&GpuOptions::default());
    let Some(key) = first.pipeline_cache_key() else {
        assert!(!first.keep_pipelines(None) && first.kept_pipelines().is_none());
        return;
    };
    assert!(!key.is_empty() && !key.contains(['/', '\\']), "`{key}` is no file name");
    assert_eq!(first.kept_pipelines(), None, "nobody asked to keep any");
    assert!(!first.keep_pipelines(None), "there was nothing to use");
    let expected = Case::new(first).run(first, None);
    let kept = first.kept_pipelines().expect("the adapter has a cache");
    let mut damaged = kept.clone();
    *damaged.last_mut().expect("not empty") ^= 1;
    for (stored, used) in
        [(&kept[..], true), (&damaged[..], false), (&kept[..kept.len() / 2], false), (&[][..], false)]
    {
        let next = &open(&GpuOptions::default());
        assert_eq!(next.keep_pipelines(Some(stored)), used, "{} bytes", stored.len());
        assert!(Case::new(next).run(next, None) == expected, "{} bytes change the result", stored.len());
        let again = next.kept_pipelines().expect("the adapter has a cache");
        assert!(open(&GpuOptions::default()).keep_pipelines(Some(&again)), "what it kept is of use");
    }
}

gpu_test!(without_the_feature_no_compiled_kernels_are_kept);
fn without_the_feature_no_compiled_kernels_are_kept() {
    let gpu = &open(&GpuOptions { guaranteed_limits: true, ..GpuOptions::default() });
    assert_eq!(gpu.pipeline_cache_key(), None);
    assert!(!gpu.keep_pipelines(None));
    assert_eq!(gpu.kept_pipelines(), None);
}

gpu_test!(tensors_that_share_memory_keep_apart);
/// Gathers rows of random tensors into new ones, some read at once and some long after: whatever wrote into a tensor
/// that was still needed shows as a wrong number in the end.
fn tensors_that_share_memory_keep_apart() {
    const COLS: usize = 24;
    let draw = |stream: u32, counter: u32, below: usize| hash(3, stream, counter) as usize % below;
    for seed in 0..4 {
        let source = random(seed, 50 * COLS);
        let source_gpu = gpu().upload("source", &source).expect("room");
        let mut rec = Recorder::new("chain");
        let mut ops = Ops { rec: &mut rec, variants: Variants::table(gpu().caps(), 64) };
        // What the host knows each tensor to hold: the source's row in each of its rows.
        let mut tensors: Vec<(View, Vec<usize>)> = Vec::new();
        let mut outs = Vec::new();
        let mut words = 0;
        for i in 0..60 {
            let rows = 1 + draw(seed, 10 * i, 90);
            // Mostly a recent tensor, sometimes an old one, which then lived all the while.
            let from = match (tensors.len(), draw(seed, 10 * i + 1, 8)) {
                (0, _) | (_, 0) => None,
                (len, 1) => Some(draw(seed, 10 * i + 2, len)),
                (len, _) => Some(len - 1 - draw(seed, 10 * i + 2, len.min(3))),
            };
            let known: Vec<usize> = from.map_or((0..50).collect(), |from| tensors[from].1.clone());
            let picked: Vec<u32> =
                (0..rows).map(|r| draw(seed + 100, 100 * i + r as u32, known.len()) as u32).collect();
            let index = gpu().upload("index", &picked).expect("room");
            let out = ops.rec.tensor(format!("t{i}"), rows * COLS);
            words += out.len();
            let p = RowsParams { rows: rows as u32, cols: COLS as u32 };
            let x = from.map_or(&source_gpu, |from| &tensors[from].0);
            ops.run(RowsFwd { p, rows: &index, x, out: &out });
            tensors.push((out, picked.iter().map(|row| known[*row as usize]).collect()));
            if draw(seed, 10 * i + 3, 3) == 0 {
                let (view, known) = &tensors[draw(seed, 10 * i + 4, tensors.len())];
                let kept = gpu().storage("kept", view.len()).expect("room");
                ops.run(copy(view, &kept));
                outs.push((kept, known.clone()));
            }
        }
        assert!(outs.len() > 5, "the case keeps something");
        let mut arena = Arena::default();
        let plan = rec.finish(gpu(), &mut arena).expect("the chain fits");
        assert!(arena.bytes() < 4 * words as u64, "nothing is shared: the case tests nothing");
        assert!(plan.layout().total() >= plan.layout().peak_live);
        arena.poison(gpu());
        plan.submit(gpu(), None).expect("the device runs it");
        for (out, known) in outs {
            let expected: Vec<u32> =
                known.iter().flat_map(|row| &source[row * COLS..][..COLS]).map(|x| x.to_bits()).collect();
            assert!(
                read(gpu(), &out) == expected,
                "seed {seed}: a tensor was overwritten while it was needed"
            );
        }
    }
}

gpu_test!(reading_what_nothing_wrote_panics, panics = "mlp_fwd reads `gate_up` before anything wrote it");
fn reading_what_nothing_wrote_panics() {
    let mut rec = Recorder::new("case");
    let (gate_up, act) = (rec.tensor("gate_up", 16), rec.tensor("act", 8));
    let mut ops = Ops { rec: &mut rec, variants: Variants::table(gpu().caps(), 64) };
    ops.run(MlpFwd { p: MlpParams { rows: 1, cols: 8 }, gate_up: &gate_up, act: &act });
}

gpu_test!(bindings_of_one_tensor_that_overlap_panic, panics = "overlaps another binding");
fn bindings_of_one_tensor_that_overlap_panic() {
    let mut rec = Recorder::new("case");
    let tensor = rec.tensor("tensor", 256);
    rec.clear(&tensor);
    let (gate_up, act) = (tensor.slice(0, 128), tensor.slice(64, 64));
    let mut ops = Ops { rec: &mut rec, variants: Variants::table(gpu().caps(), 64) };
    ops.run(MlpFwd { p: MlpParams { rows: 1, cols: 64 }, gate_up: &gate_up, act: &act });
}

gpu_test!(bindings_of_one_buffer_that_overlap_panic, panics = "overlaps another binding");
fn bindings_of_one_buffer_that_overlap_panic() {
    let buffer = gpu().storage("buffer", 256).expect("room");
    let mut rec = Recorder::new("case");
    let mut ops = Ops { rec: &mut rec, variants: Variants::table(gpu().caps(), 64) };
    ops.run(MlpFwd { p: MlpParams { rows: 1, cols: 64 }, gate_up: &buffer, act: &buffer.slice(64, 64) });
}

gpu_test!(ranges_side_by_side_do_not_overlap);
fn ranges_side_by_side_do_not_overlap() {
    let buffer = gpu().upload("buffer", &random(1, 256)).expect("room");
    let (gate_up, act) = (buffer.slice(0, 128), buffer.slice(128, 64));
    let before = read(gpu(), &gate_up);
    let mut rec = Recorder::new("case");
    let mut ops = Ops { rec: &mut rec, variants: Variants::table(gpu().caps(), 64) };
    ops.run(MlpFwd { p: MlpParams { rows: 1, cols: 64 }, gate_up: &gate_up, act: &act });
    let rest = read(gpu(), &buffer.slice(192, 64));
    let plan = rec.finish(gpu(), &mut Arena::default()).expect("the case fits");
    let untouched = read(gpu(), &act);
    plan.submit(gpu(), None).expect("the device runs it");
    assert_ne!(read(gpu(), &act), untouched);
    assert_eq!(read(gpu(), &gate_up), before);
    assert_eq!(read(gpu(), &buffer.slice(192, 64)), rest);
}

gpu_test!(a_tensor_above_the_binding_limit_is_refused_by_name);
fn a_tensor_above_the_binding_limit_is_refused_by_name() {
    let gpu = &open(&GpuOptions { guaranteed_limits: true, ..GpuOptions::default() });
    let limit = gpu.caps().max_binding as usize / 4;
    let record = |words: usize| {
        let mut rec = Recorder::new("case");
        let tensor = rec.tensor("logits", words);
        rec.clear(&tensor);
        rec
    };
    assert!(record(limit).layout(gpu).is_ok());
    let error = record(limit + 1).layout(gpu).expect_err("one word too many");
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.what.contains("`logits`"), "{}", error.what);
    let made = gpu.made();
    let error = record(limit + 1).finish(gpu, &mut Arena::default()).err().expect("one word too many");
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert_eq!(gpu.made(), made, "refused before anything was made");

    let error = gpu.storage("everything", gpu.caps().max_buffer as usize / 4 + 1).expect_err("too large");
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.what.contains("everything"), "{}", error.what);
}

gpu_test!(a_profile_has_a_span_for_every_dispatch);
fn a_profile_has_a_span_for_every_dispatch() {
    let case = Case::new(gpu());
    let whole = case.run(gpu(), None);
    let mut profile = Profile::default();
    let outcome = block_on(case.plan.profile(gpu(), &mut profile));
    if !gpu().caps().timestamps {
        assert_eq!(outcome.expect_err("no timestamps").kind, ErrorKind::Device);
        return;
    }
    outcome.expect("the device runs it");
    let names: Vec<&str> = profile.spans.iter().map(|span| span.name).collect();
    let (nt, nn) = ("matmul_nt", "matmul_nn");
    assert_eq!(names, [nt, nn, "copy_fwd", nt, nn, nt, nt, nn]);
    assert_eq!(case.plan.dispatches(), names.len());
    assert!(profile.spans.iter().all(|span| span.us >= 0.0 && span.start_us >= 0.0));
    assert!(profile.spans.is_sorted_by(|a, b| a.start_us <= b.start_us), "{:?}", profile.spans);
    assert!(profile.spans.iter().any(|span| span.us > 0.0), "the clock stands still");
    let table = profile.table();
    assert_eq!(table.iter().map(|row| row.calls).sum::<usize>(), names.len());
    assert!((table.iter().map(|row| row.share).sum::<f64>() - 1.0).abs() < 1e-9);
    let words = [0, 1].map(|i| read(gpu(), &case.outs[i]));
    assert!(words == whole, "profiling changes the result");
    block_on(case.plan.profile(gpu(), &mut profile)).expect("the device runs it");
    assert_eq!(profile.spans.len(), 2 * names.len());
}

#[test]
fn an_unknown_adapter_is_refused_with_the_names_of_the_others() {
    let options = GpuOptions { adapter: Some("no such adapter".into()), ..GpuOptions::default() };
    let error = block_on(Gpu::open(&options)).expect_err("there is none");
    assert_eq!(error.kind, ErrorKind::Adapter);
    assert!(error.help.contains(&gpu().info().name), "{}", error.help);
}
