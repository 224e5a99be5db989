//! Two variants of one family, by the length of its rows.

/// Which variant runs on rows of which length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths<V> {
    /// For any length.
    pub scalar: V,
    /// For rows that are multiples of 4 words.
    pub vec4: V,
}

impl<V: Copy> Widths<V> {
    /// The variant for rows of `words`.
    pub fn pick(self, words: u32) -> V {
        if words.is_multiple_of(4) { self.vec4 } else { self.scalar }
    }
}
