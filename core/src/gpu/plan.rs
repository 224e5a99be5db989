//! Record once, replay often: a [`Recorder`] lists dispatches over tensors that have no place yet; finishing it
//! packs the tensors by lifetime and makes every bind group; a [`Plan`] then only encodes.

use std::sync::Arc;

use super::arena::{Layout, Lifetime, pack};
use super::buffer::{ALIGN, Buffer, Slot, View, WORD, align_up};
use super::device::{Gpu, Pipeline};
use super::kernel::{BindingKind, Kernel, KernelDesc};
use super::pace::Pace;
use super::profile::Profile;
use crate::error::{Error, ErrorKind, Result};

struct Tensor {
    name: String,
    size: u64,
    life: Option<(usize, usize)>,
}

enum Step {
    Dispatch { desc: &'static KernelDesc, params: Vec<u8>, views: Vec<View>, groups: u64 },
    Clear { view: View },
}

/// Lists what a step does, in order.
pub struct Recorder {
    label: String,
    tensors: Vec<Tensor>,
    steps: Vec<Step>,
}

impl Recorder {
    /// An empty list, named `label`.
    pub fn new(label: &str) -> Self {
        Recorder { label: label.into(), tensors: Vec::new(), steps: Vec::new() }
    }

    /// A tensor of `len` words that lives from its first use to its last; its first use must write it.
    pub fn tensor(&mut self, name: impl Into<String>, len: usize) -> View {
        let size = (len as u64).max(1) * WORD;
        self.tensors.push(Tensor { name: name.into(), size, life: None });
        View { slot: Slot::Planned(self.tensors.len() as u32 - 1), offset: 0, size }
    }

    /// Dispatches `groups` workgroups of `kernel`; none when there is nothing to do.
    ///
    /// # Panics
    /// When a tensor is read before it was written, or two bindings overlap: mistakes in the program.
    pub fn run<K: Kernel>(&mut self, kernel: K, variant: K::Variant, groups: usize) {
        if groups == 0 {
            return;
        }
        let desc = K::desc(variant);
        let views: Vec<View> = kernel.views().into_iter().cloned().collect();
        let bound = desc.bindings.iter().filter(|b| b.kind != BindingKind::Params);
        for (at, (binding, view)) in bound.zip(&views).enumerate() {
            self.touch(view, binding.kind == BindingKind::Output, desc.entry);
            let twice = views[..at].iter().any(|earlier| earlier.overlaps(view));
            assert!(!twice, "{}: `{}` overlaps another binding", desc.entry, binding.name);
        }
        self.steps.push(Step::Dispatch {
            desc,
            params: kernel.params().to_vec(),
            views,
            groups: groups as u64,
        });
    }

    /// Sets `view` to zero.
    pub fn clear(&mut self, view: &View) {
        self.touch(view, true, "clear");
        self.steps.push(Step::Clear { view: view.clone() });
    }

    fn touch(&mut self, view: &View, written: bool, by: &str) {
        let Some(id) = view.planned() else { return };
        let (now, tensor) = (self.steps.len(), &mut self.tensors[id as usize]);
        assert!(written || tensor.life.is_some(), "{by} reads `{}` before anything wrote it", tensor.name);
        tensor.life = Some((tensor.life.map_or(now, |(first, _)| first), now));
    }

    /// Where the tensors would go on `gpu`, before anything is allocated.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] names a tensor that is larger than a binding may be.
    pub fn layout(&self, gpu: &Gpu) -> Result<Layout> {
        let limit = gpu.caps().max_binding;
        if let Some(large) = self.tensors.iter().find(|t| t.life.is_some() && align_up(t.size) > limit) {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "tensor `{}` needs {} bytes in one binding; the adapter allows {limit}",
                    large.name, large.size
                ),
                "use a smaller `micro_batch_tokens`",
            ));
        }
        // A tensor that nothing touches takes no room: it lives in step 0 with no bytes.
        let lifetimes: Vec<Lifetime> = self
            .tensors
            .iter()
            .map(|t| match t.life {
                Some((first, last)) => Lifetime { size: t.size, first, last },
                None => Lifetime { size: 0, first: 0, last: 0 },
            })
            .collect();
        Ok(pack(&lifetimes, gpu.caps().max_buffer))
    }

    /// Places the tensors in `arena` and makes what a replay needs.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when the tensors do not fit; [`ErrorKind::Device`] when the device refuses.
    pub fn finish(self, gpu: &Gpu, arena: &mut Arena) -> Result<Plan> {
        let layout = self.layout(gpu)?;
        arena.reserve(gpu, &layout)?;
        if gpu.is_rehearsal() {
            return Ok(Plan::new(self.label, Vec::new(), layout, Vec::new()));
        }
        let uniforms = self.upload_params(gpu)?;
        let place = |view: &View| -> View {
            let Some(id) = view.planned() else { return view.clone() };
            let place = layout.places[id as usize];
            let segment = &arena.segments[place.segment];
            View { slot: segment.slot.clone(), offset: place.offset + view.offset, size: view.size }
        };
        let mut at = 0;
        let mut memory = vec![uniforms.buffer().clone()];
        let mut commands = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            commands.push(match step {
                Step::Clear { view } => Command::Clear(place(view)),
                Step::Dispatch { desc, views, groups, .. } => {
                    let views: Vec<View> = views.iter().map(place).collect();
                    for view in &views {
                        if !memory.contains(view.buffer()) {
                            memory.push(view.buffer().clone());
                        }
                    }
                    let params = View { offset: at * ALIGN, size: ALIGN, ..uniforms.clone() };
                    at += 1;
                    let pipeline = gpu.pipeline(desc);
                    let bind_group = bind(gpu, desc, &pipeline, &params, &views);
                    let grid = fold(*groups, gpu.caps().max_groups);
                    Command::Dispatch { name: desc.entry, pipeline, bind_group, grid }
                }
            });
        }
        gpu.check()?;
        Ok(Plan::new(self.label, commands, layout, memory))
    }

    fn upload_params(&self, gpu: &Gpu) -> Result<View> {
        let mut bytes = Vec::new();
        for step in &self.steps {
            if let Step::Dispatch { params, .. } = step {
                assert!(params.len() as u64 <= ALIGN, "a kernel's params exceed {ALIGN} bytes");
                bytes.extend_from_slice(params);
                bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0u8);
            }
        }
        let view = gpu.uniform(&format!("{}.params", self.label), bytes.len() / WORD as usize)?;
        gpu.write(&view, &bytes);
        Ok(view)
    }
}

fn bind(gpu: &Gpu, desc: &KernelDesc, pipeline: &Pipeline, params: &View, views: &[View]) -> wgpu::BindGroup {
    let mut rest = views.iter();
    let entries: Vec<wgpu::BindGroupEntry<'_>> = desc
        .bindings
        .iter()
        .map(|binding| {
            let view = match binding.kind {
                BindingKind::Params => params,
                _ => rest.next().expect("a view for every binding but the params"),
            };
            wgpu::BindGroupEntry {
                binding: binding.binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: view.buffer(),
                    offset: view.offset,
                    size: std::num::NonZeroU64::new(view.size),
                }),
            }
        })
        .collect();
    gpu.count_bind_group();
    gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(desc.entry),
        layout: &pipeline.layout,
        entries: &entries,
    })
}

/// Splits a one-dimensional grid over two dimensions where it exceeds the limit of one.
fn fold(groups: u64, limit: u32) -> (u32, u32) {
    let rows = groups.div_ceil(u64::from(limit));
    assert!(rows <= u64::from(limit), "{groups} workgroups exceed two dimensions of {limit}");
    (groups.div_ceil(rows) as u32, rows as u32)
}

/// The buffers behind the tensors of plans that never run at the same time, so that all of them can share.
#[derive(Debug, Default)]
pub struct Arena {
    segments: Vec<View>,
}

impl Arena {
    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(View::bytes).sum()
    }

    /// Fills every buffer with NaN, so that a kernel that does not write its output is found out.
    pub fn poison(&self, gpu: &Gpu) {
        for segment in &self.segments {
            gpu.write(segment, &vec![f32::NAN; segment.len()]);
        }
    }

    /// Plans finished earlier keep the buffers they were bound to, so record the largest plan first.
    fn reserve(&mut self, gpu: &Gpu, layout: &Layout) -> Result<()> {
        for (at, &size) in layout.segments.iter().enumerate() {
            if self.segments.get(at).is_some_and(|segment| segment.size >= size) {
                continue;
            }
            let segment = gpu.storage(&format!("arena.{at}"), (size / WORD).max(1) as usize)?;
            if at < self.segments.len() {
                self.segments[at] = segment;
            } else {
                self.segments.push(segment);
            }
        }
        Ok(())
    }
}

enum Command {
    Dispatch { name: &'static str, pipeline: Arc<Pipeline>, bind_group: wgpu::BindGroup, grid: (u32, u32) },
    Clear(View),
}

/// A recorded step, ready to be encoded any number of times.
pub struct Plan {
    label: String,
    commands: Vec<Command>,
    layout: Layout,
    pace: Pace,
    /// What the bind groups bind lives as long as they do.
    _memory: Vec<Buffer>,
}

impl Plan {
    fn new(label: String, commands: Vec<Command>, layout: Layout, memory: Vec<Buffer>) -> Plan {
        Plan { label, commands, layout, pace: Pace::default(), _memory: memory }
    }

    /// Where the plan's tensors lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.commands.iter().filter(|command| matches!(command, Command::Dispatch { .. })).count()
    }

    /// Commands of the plan repeated without end.
    fn encode_range(&self, encoder: &mut wgpu::CommandEncoder, range: std::ops::Range<usize>) {
        let mut pass: Option<wgpu::ComputePass<'static>> = None;
        for command in range.map(|at| &self.commands[at % self.commands.len()]) {
            match command {
                Command::Dispatch { pipeline, bind_group, grid, .. } => {
                    let pass = pass.get_or_insert_with(|| {
                        let label = Some(self.label.as_str());
                        let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes: None };
                        encoder.begin_compute_pass(&descriptor).forget_lifetime()
                    });
                    pass.set_pipeline(&pipeline.pipeline);
                    pass.set_bind_group(0, bind_group, &[]);
                    pass.dispatch_workgroups(grid.0, grid.1, 1);
                }
                Command::Clear(view) => {
                    pass = None;
                    encoder.clear_buffer(view.buffer(), view.offset, Some(view.size));
                }
            }
        }
    }

    /// Submits the plan in parts: of at most `part` commands, or of as many as the plan's own pace allows. The bits do
    /// not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device reported a fault.
    pub fn submit(&self, gpu: &Gpu, part: Option<usize>) -> Result<()> {
        self.submit_times(gpu, 1, part)
    }

    /// Submits the plan `times` times, one after the other, in parts as [`Plan::submit`] does: of a short plan several
    /// runs fit into one.
    ///
    /// # Errors
    /// As [`Plan::submit`].
    pub fn submit_times(&self, gpu: &Gpu, times: usize, part: Option<usize>) -> Result<()> {
        let count = self.commands.len() * times;
        let run = self.pace.begin(count);
        let part = part.unwrap_or(run.part()).max(1);
        for start in (0..count).step_by(part) {
            let mut encoder = gpu.encoder(&self.label);
            self.encode_range(&mut encoder, start..(start + part).min(count));
            gpu.submit(encoder)?;
        }
        run.end(gpu, part);
        Ok(())
    }

    /// How many commands the next submit would hold at most.
    pub fn part(&self) -> usize {
        self.pace.part()
    }

    /// Runs the plan with a pass per dispatch and adds each one's time on the device to `profile`.
    ///
    /// # Errors
    /// As [`Plan::submit`]; [`ErrorKind::Device`] where the adapter has no timestamps.
    pub async fn profile(&self, gpu: &Gpu, profile: &mut Profile) -> Result<()> {
        let mut timer = profile.timer(gpu, self.dispatches())?;
        let mut encoder = gpu.encoder(&self.label);
        for (at, command) in self.commands.iter().enumerate() {
            let Command::Dispatch { name, pipeline, bind_group, grid } = command else {
                self.encode_range(&mut encoder, at..at + 1);
                continue;
            };
            let mut pass = timer.pass(&mut encoder, name);
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(grid.0, grid.1, 1);
        }
        timer.finish(gpu, encoder, profile).await
    }
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn grids_fold_above_the_limit() {
        assert_eq!(fold(65_535, 65_535), (65_535, 1));
        assert_eq!(fold(65_536, 65_535), (32_768, 2));
        let (x, y) = fold(1_000_003, 65_535);
        assert!(u64::from(x) * u64::from(y) >= 1_000_003 && x <= 65_535);
    }
}
