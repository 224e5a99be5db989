//! Packs tensors into few buffers by lifetime: two tensors share bytes only when no step needs both.

use super::buffer::align_up;

/// A tensor to place: its bytes, and the first and last step that touch it.
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// Bytes needed.
    pub size: u64,
    /// The first step that touches it.
    pub first: usize,
    /// The last step that touches it.
    pub last: usize,
}

impl Lifetime {
    fn meets(&self, other: &Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where a tensor went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which buffer.
    pub segment: usize,
    /// Bytes from the buffer's start.
    pub offset: u64,
}

/// The result of [`pack`].
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// One place per tensor.
    pub places: Vec<Place>,
    /// Bytes of each buffer.
    pub segments: Vec<u64>,
    /// The largest sum of bytes alive in one step: no layout can need less.
    pub peak_live: u64,
}

impl Layout {
    /// Bytes of all buffers.
    pub fn total(&self) -> u64 {
        self.segments.iter().sum()
    }
}

/// Places the largest tensor first, each at the lowest free offset of the first segment that has room for it, with
/// no segment above `segment_limit` bytes.
///
/// # Panics
/// When a tensor is larger than `segment_limit`; the recorder refuses such a tensor before.
pub fn pack(tensors: &[Lifetime], segment_limit: u64) -> Layout {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(tensors[i].size), tensors[i].first, i));
    let mut layout =
        Layout { places: vec![Place { segment: 0, offset: 0 }; tensors.len()], ..Layout::default() };
    let mut placed: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let size = align_up(tensors[i].size);
        assert!(size <= segment_limit, "a tensor of {size} bytes does not fit a buffer of {segment_limit}");
        let fit = placed.iter().enumerate().find_map(|(segment, inside)| {
            let offset = lowest_gap(tensors, &layout.places, inside, i, size);
            (offset + size <= segment_limit).then_some(Place { segment, offset })
        });
        let place = fit.unwrap_or_else(|| {
            placed.push(Vec::new());
            layout.segments.push(0);
            Place { segment: placed.len() - 1, offset: 0 }
        });
        placed[place.segment].push(i);
        layout.places[i] = place;
        let end = &mut layout.segments[place.segment];
        *end = (*end).max(place.offset + size);
    }
    layout.peak_live = peak_live(tensors);
    layout
}

fn lowest_gap(tensors: &[Lifetime], places: &[Place], inside: &[usize], i: usize, size: u64) -> u64 {
    let mut taken: Vec<(u64, u64)> = inside
        .iter()
        .filter(|&&j| tensors[j].meets(&tensors[i]))
        .map(|&j| (places[j].offset, places[j].offset + align_up(tensors[j].size)))
        .collect();
    taken.sort_unstable();
    let mut offset = 0;
    for (start, end) in taken {
        if start >= offset + size {
            break;
        }
        offset = offset.max(end);
    }
    offset
}

fn peak_live(tensors: &[Lifetime]) -> u64 {
    let steps = tensors.iter().map(|t| t.last + 1).max().unwrap_or(0);
    let mut change = vec![0i64; steps + 1];
    for t in tensors {
        change[t.first] += align_up(t.size) as i64;
        change[t.last + 1] -= align_up(t.size) as i64;
    }
    let mut live = 0;
    change.iter().fold(0, |peak, c| {
        live += c;
        peak.max(live)
    }) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(size: u64, first: usize, last: usize) -> Lifetime {
        Lifetime { size, first, last }
    }

    fn check(tensors: &[Lifetime], limit: u64) -> Layout {
        let layout = pack(tensors, limit);
        for (i, a) in tensors.iter().enumerate() {
            for (j, b) in tensors.iter().enumerate().skip(i + 1) {
                let (p, q) = (layout.places[i], layout.places[j]);
                let share =
                    p.segment == q.segment && p.offset < q.offset + b.size && q.offset < p.offset + a.size;
                assert!(!(share && a.meets(b)), "tensors {i} and {j} overlap in memory and in time");
            }
        }
        assert!(layout.segments.iter().all(|&s| s <= limit));
        assert!(layout.total() >= layout.peak_live);
        layout
    }

    #[test]
    fn tensors_that_never_meet_share_memory() {
        let layout = check(&[tensor(1024, 0, 1), tensor(1024, 2, 3)], 1 << 20);
        assert_eq!(layout.total(), 1024);
    }

    #[test]
    fn a_chain_needs_two_places() {
        let chain: Vec<_> = (0..50).map(|i| tensor(512, i, i + 1)).collect();
        assert_eq!(check(&chain, 1 << 20).total(), 1024);
    }

    #[test]
    fn a_full_segment_opens_another() {
        let layout = check(&[tensor(600, 0, 1), tensor(600, 0, 1)], 1024);
        assert_eq!(layout.segments.len(), 2);
    }

    #[test]
    fn random_lifetimes_stay_near_the_peak() {
        let mut state = 1u32;
        let mut draw = |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % n
        };
        let tensors: Vec<_> = (0..300)
            .map(|_| {
                let first = draw(100) as usize;
                tensor(u64::from(1 + draw(10_000)), first, first + draw(20) as usize)
            })
            .collect();
        let layout = check(&tensors, 1 << 30);
        assert!(layout.total() as f64 <= 1.25 * layout.peak_live as f64, "{layout:?}");
    }
}
