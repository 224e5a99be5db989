//! GPU time per kernel from timestamp queries: a table, and a trace file for Perfetto or `chrome://tracing`.

use std::collections::BTreeMap;

use super::buffer::WORD;
use super::device::Gpu;
use crate::error::{Error, ErrorKind, Result};

/// One dispatch as the device timed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The kernel's entry point.
    pub name: &'static str,
    /// Microseconds since the profile's first dispatch.
    pub start_us: f64,
    /// Microseconds it took.
    pub us: f64,
}

/// One kernel's share of the time.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The kernel's entry point.
    pub name: &'static str,
    /// How often it ran.
    pub calls: usize,
    /// Microseconds of all its runs.
    pub us: f64,
    /// Its share of all kernels' time, 0 to 1.
    pub share: f64,
}

/// The dispatches of the plans that were profiled.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// In the order in which they ran.
    pub spans: Vec<Span>,
    origin: Option<u64>,
}

impl Profile {
    /// Time per kernel, the longest first.
    pub fn table(&self) -> Vec<Row> {
        let mut by_name: BTreeMap<&'static str, (usize, f64)> = BTreeMap::new();
        for span in &self.spans {
            let entry = by_name.entry(span.name).or_default();
            *entry = (entry.0 + 1, entry.1 + span.us);
        }
        let total: f64 = self.spans.iter().map(|span| span.us).sum();
        let mut rows: Vec<Row> = by_name
            .into_iter()
            .map(|(name, (calls, us))| Row { name, calls, us, share: us / total.max(f64::MIN_POSITIVE) })
            .collect();
        rows.sort_by(|a, b| b.us.total_cmp(&a.us));
        rows
    }

    /// The Trace Event Format that Perfetto and `chrome://tracing` read.
    pub fn trace(&self) -> String {
        let events: Vec<serde_json::Value> = self
            .spans
            .iter()
            .map(|s| serde_json::json!({"name": s.name, "ph": "X", "ts": s.start_us, "dur": s.us, "pid": 1, "tid": 1}))
            .collect();
        serde_json::json!({ "traceEvents": events, "displayTimeUnit": "ms" }).to_string()
    }

    pub(super) fn timer(&self, gpu: &Gpu, dispatches: usize) -> Result<Timer> {
        if !gpu.caps().timestamps {
            let what = format!("adapter {} has no timestamp queries", gpu.info().name);
            return Err(Error::new(
                ErrorKind::Device,
                what,
                "leave --profile out, or choose another --adapter",
            ));
        }
        let sets = dispatches.div_ceil(PER_SET).max(1);
        let sets = (0..sets)
            .map(|_| {
                gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("profile"),
                    ty: wgpu::QueryType::Timestamp,
                    count: 2 * PER_SET as u32,
                })
            })
            .collect();
        Ok(Timer { sets, names: Vec::new() })
    }
}

/// WebGPU allows 4,096 queries a set: two a dispatch.
const PER_SET: usize = 2048;

/// The queries of one plan on its way.
pub(super) struct Timer {
    sets: Vec<wgpu::QuerySet>,
    names: Vec<&'static str>,
}

impl Timer {
    pub(super) fn pass(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        name: &'static str,
    ) -> wgpu::ComputePass<'static> {
        let at = self.names.len();
        let first = 2 * (at % PER_SET) as u32;
        self.names.push(name);
        let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[at / PER_SET],
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        });
        let descriptor = wgpu::ComputePassDescriptor { label: Some(name), timestamp_writes };
        encoder.begin_compute_pass(&descriptor).forget_lifetime()
    }

    pub(super) async fn finish(
        self,
        gpu: &Gpu,
        mut encoder: wgpu::CommandEncoder,
        profile: &mut Profile,
    ) -> Result<()> {
        let bytes = 8 * 2 * PER_SET as u64 * self.sets.len() as u64;
        let resolved = gpu.query_results("profile", (bytes / WORD) as usize)?;
        for (at, set) in self.sets.iter().enumerate() {
            let used = (2 * (self.names.len() - at * PER_SET).min(PER_SET)) as u32;
            encoder.resolve_query_set(set, 0..used, &resolved, 8 * (2 * PER_SET * at) as u64);
        }
        let staging = gpu.staging("profile", bytes)?;
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
        gpu.submit(encoder)?;
        let raw = gpu.map(&staging, bytes).await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&raw);
        let us_per_tick = f64::from(gpu.queue().get_timestamp_period()) / 1000.0;
        for (name, pair) in self.names.iter().zip(ticks.chunks_exact(2)) {
            let origin = *profile.origin.get_or_insert(pair[0]);
            profile.spans.push(Span {
                name,
                start_us: pair[0].saturating_sub(origin) as f64 * us_per_tick,
                us: pair[1].saturating_sub(pair[0]) as f64 * us_per_tick,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_sums_by_kernel_and_sorts() {
        let span = |name, start_us, us| Span { name, start_us, us };
        let profile =
            Profile { spans: vec![span("a", 0., 1.), span("b", 1., 5.), span("a", 6., 2.)], origin: None };
        let table = profile.table();
        assert_eq!((table[0].name, table[0].calls), ("b", 1));
        assert_eq!((table[1].name, table[1].calls, table[1].us), ("a", 2, 3.0));
        let trace: serde_json::Value = serde_json::from_str(&profile.trace()).unwrap();
        assert_eq!(trace["traceEvents"].as_array().unwrap().len(), 3);
    }
}
