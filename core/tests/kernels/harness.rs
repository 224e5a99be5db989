//! One device for all tests, outputs that start as NaN with a guard behind them, and comparisons that NaN fails.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Mutex, OnceLock};

use tbrm_core::gpu::kernel::{Kernel, KernelDesc};
use tbrm_core::gpu::{Arena, Gpu, GpuOptions, Recorder, View};
use tbrm_core::ops::{Launch, Ops, Variants};
use tbrm_core::reference::sample::uniform;
use tbrm_testing::{block_on, say};

/// The bits of a NaN that no arithmetic produces.
pub(crate) const POISON: u32 = 0x7fc0_dead;

/// Words behind every array of floats, inside the binding: a kernel that writes them is found out, one that uses them
/// gets NaN.
const GUARD: usize = 64;

/// The best adapter of the machine. A machine without one fails every test: an untested kernel is not a passed one.
pub(crate) fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| open(&GpuOptions::default()))
}

/// Opens a device, loudly.
pub(crate) fn open(options: &GpuOptions) -> Gpu {
    block_on(Gpu::open(options)).unwrap_or_else(|e| panic!("{}; {}", e.what, e.help))
}

/// Says once, past a test's captured output, that a variant is not tested.
pub(crate) fn leave_out(desc: &KernelDesc, why: &str) {
    static NAMED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let says = format!("left out, {why}: {} {}", desc.family, desc.variant);
    if NAMED.lock().expect("no panic under the lock").insert(says.clone()) {
        say(&says);
    }
}

/// The variants of `K`'s family that `gpu` can run; names those that it cannot.
pub(crate) fn able<K: Kernel>(gpu: &Gpu, all: &[K::Variant]) -> Vec<K::Variant> {
    let caps = gpu.caps();
    let can = |variant: &K::Variant| {
        let desc = K::desc(*variant);
        // Subgroup kernels broadcast within their workgroup, which must then be one subgroup, as the table sees to: in half of
        // lavapipe's 8 lanes the kernels for quads give other numbers.
        let subgroups = caps.subgroups && caps.subgroup_size == desc.workgroup[0];
        let can = (!desc.subgroups || subgroups) && (!desc.f16 || caps.f16) && (!desc.int64 || caps.int64);
        if !can {
            leave_out(desc, "the device cannot run it");
        }
        can
    };
    all.iter().copied().filter(can).collect()
}

/// Reproducible numbers in `[-1, 1)`: a different `stream`, different numbers.
pub(crate) fn random(stream: u32, length: usize) -> Vec<f32> {
    (0..length as u32).map(|i| (2.0 * uniform(7, stream, i) - 1.0) as f32).collect()
}

/// The same numbers, for the twins.
pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

/// Rounded, where a twin's result is a kernel's input.
pub(crate) fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|x| *x as f32).collect()
}

/// The bits, for comparisons that allow no difference.
pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Packed sequences of the given lengths: `seq_start (T)`, `seq_end (T)`, `positions (T)`.
pub(crate) fn pack(lengths: &[u32]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let (mut start, mut end, mut position) = (Vec::new(), Vec::new(), Vec::new());
    for &length in lengths {
        let first = start.len() as u32;
        start.extend((0..length).map(|_| first));
        end.extend((0..length).map(|_| first + length));
        position.extend(0..length);
    }
    (start, end, position)
}

/// An array on the device, followed by its guard.
pub(crate) struct Array {
    view: View,
    len: usize,
}

impl Deref for Array {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Array {
    /// Its words, once everything submitted is done. Fails where the guard was written.
    pub(crate) fn words(&self, gpu: &Gpu) -> Vec<u32> {
        let mut words: Vec<u32> = block_on(gpu.read(&self.view)).expect("the device answers");
        let guard = words.split_off(self.len);
        let written = guard.iter().position(|word| *word != POISON);
        assert_eq!(written, None, "wrote that many words behind the end of an array of {}", self.len);
        words
    }

    /// [`Array::words`] as floats.
    pub(crate) fn read(&self, gpu: &Gpu) -> Vec<f32> {
        self.words(gpu).into_iter().map(f32::from_bits).collect()
    }
}

/// Arrays and kernels of one case.
pub(crate) struct Bench<'g> {
    pub(crate) gpu: &'g Gpu,
    variants: Variants,
    rec: Recorder,
}

impl<'g> Bench<'g> {
    pub(crate) fn new(gpu: &'g Gpu, variants: Variants) -> Self {
        Bench { gpu, variants, rec: Recorder::new("case") }
    }

    fn array(&self, mut words: Vec<u32>) -> Array {
        let len = words.len();
        words.resize(len + GUARD, POISON);
        Array { view: self.gpu.upload("case", &words).expect("the device has room"), len }
    }

    /// An input, or an output that a kernel adds to.
    pub(crate) fn filled(&self, data: &[f32]) -> Array {
        self.array(bits(data))
    }

    /// An output: NaN until a kernel writes it.
    pub(crate) fn poisoned(&self, len: usize) -> Array {
        self.array(vec![POISON; len])
    }

    /// An output of indices.
    pub(crate) fn counters(&self, data: &[u32]) -> Array {
        self.array(data.to_vec())
    }

    /// An input of indices; no guard, because a kernel that follows one has no bounds.
    pub(crate) fn indices(&self, data: &[u32]) -> View {
        self.gpu.upload("case", data).expect("the device has room")
    }

    /// A uniform beside the params.
    pub(crate) fn uniform<T: bytemuck::Pod>(&self, data: T) -> View {
        let view = self.gpu.uniform("case", size_of::<T>() / 4).expect("the device has room");
        self.gpu.write(&view, &[data]);
        view
    }

    pub(crate) fn run<K: Launch>(&mut self, kernel: K) {
        self.ops().run(kernel);
    }

    pub(crate) fn ops(&mut self) -> Ops<'_> {
        Ops { rec: &mut self.rec, variants: self.variants }
    }

    /// Runs what was recorded.
    pub(crate) fn go(&mut self) {
        let rec = std::mem::replace(&mut self.rec, Recorder::new("case"));
        let plan = rec.finish(self.gpu, &mut Arena::default()).expect("the case fits the device");
        plan.submit(self.gpu, None).expect("the device runs it");
    }

    /// Holds an output to its twin.
    pub(crate) fn check(&self, what: &str, actual: &Array, expected: &[f64], within: Within) {
        close(what, &actual.read(self.gpu), expected, within);
    }
}

/// How far a result may be from its twin: `abs + rel * |expected|`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within {
    pub(crate) abs: f64,
    pub(crate) rel: f64,
}

/// The distance from 1 to the next f32: twice the error of one rounding.
pub(crate) const EPS: f64 = f32::EPSILON as f64;

impl Within {
    /// A sum of `terms` products of numbers up to about 1: every addition may round by half an [`EPS`] of a partial
    /// sum, which grows like the root of the terms, and errors of random sign add up like a root again. The twin of a
    /// kernel that drops or repeats one term is off by far more.
    pub(crate) fn sum(terms: usize) -> Within {
        Within { abs: EPS * (4.0 + terms as f64 / 2.0), rel: 4.0 * EPS }
    }

    /// A few operations in a row, each correct to a few units in the last place as WGSL asks of division, square root
    /// and exp of small arguments; `scale` is the size of what may cancel.
    pub(crate) fn ulps(ulps: f64, scale: f64) -> Within {
        Within { abs: ulps * EPS * scale, rel: ulps * EPS }
    }
}

/// Fails where an entry is farther from its twin than allowed, or is NaN; says how much of the tolerance was used.
pub(crate) fn close(what: &str, actual: &[f32], expected: &[f64], within: Within) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let used = |i: usize| {
        let share =
            (f64::from(actual[i]) - expected[i]).abs() / (within.abs + within.rel * expected[i].abs());
        if share.is_nan() { f64::INFINITY } else { share }
    };
    let Some(worst) = (0..actual.len()).max_by(|&i, &j| used(i).total_cmp(&used(j))) else { return };
    let says = format!(
        "{what}: worst at {worst} of {}, {} where the twin has {}: {:.0}% of the tolerance",
        actual.len(),
        actual[worst],
        expected[worst],
        100.0 * used(worst),
    );
    println!("{says}");
    assert!(used(worst) <= 1.0, "{says}");
}
