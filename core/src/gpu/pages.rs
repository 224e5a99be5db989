//! Parameters in device memory: weights, gradients and the two AdamW moments lie in buffers of one layout, the pages,
//! so that the optimizer walks over whole pages. A page never exceeds the binding limit; a matrix that does is split
//! by rows over several.

use super::buffer::{ALIGN, WORD};
use super::{Gpu, View};
use crate::error::Result;

/// Tensors and parts of tensors start at a multiple of this many words.
const STEP: usize = (ALIGN / WORD) as usize;

/// Words that are read back at a time: 16 MiB.
const READ: usize = 1 << 22;

/// Rows `row0 .. row0 + rows` of a parameter, whole in one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first row.
    pub row0: usize,
    /// How many rows.
    pub rows: usize,
    page: usize,
    start: usize, // words from the page's start
}

/// Where one parameter lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Rows; 1 for a vector.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Its parts, by rows.
    pub parts: Vec<Part>,
}

/// Where every parameter lies, in words: the same for weights, gradients and moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// One place per parameter.
    pub places: Vec<Place>,
    /// Words of each page.
    pub pages: Vec<usize>,
}

impl Layout {
    /// Places parameters of `shapes` (rows, columns), in order, into pages of at most `page_words` words.
    ///
    /// # Panics
    /// When `STEP` rows of a parameter do not fit a page: a model of more than half a million channels.
    pub fn new(shapes: &[(usize, usize)], page_words: usize) -> Layout {
        let mut layout = Layout::default();
        for &(rows, cols) in shapes {
            let parts = if rows * cols <= page_words {
                vec![layout.place(0, rows, cols, page_words)]
            } else {
                // A multiple of STEP rows keeps every part of a product's output aligned.
                let most = page_words / cols / STEP * STEP;
                assert!(most > 0, "a row of {cols} words does not fit a page of {page_words}");
                (0..rows)
                    .step_by(most)
                    .map(|row0| layout.place(row0, most.min(rows - row0), cols, page_words))
                    .collect()
            };
            layout.places.push(Place { rows, cols, parts });
        }
        layout
    }

    fn place(&mut self, row0: usize, rows: usize, cols: usize, page_words: usize) -> Part {
        let words = (rows * cols).next_multiple_of(STEP);
        match self.pages.last_mut() {
            Some(used) if *used + words <= page_words => {
                let start = *used;
                *used += words;
                Part { row0, rows, page: self.pages.len() - 1, start }
            }
            _ => {
                self.pages.push(words);
                Part { row0, rows, page: self.pages.len() - 1, start: 0 }
            }
        }
    }

    /// Bytes of one copy of all parameters.
    pub fn bytes(&self) -> u64 {
        self.pages.iter().map(|&words| words as u64 * WORD).sum()
    }
}

/// One copy of all parameters, or of what belongs to each of them, in device memory.
#[derive(Clone, Debug)]
pub struct Pages {
    layout: std::sync::Arc<Layout>,
    /// The buffers.
    pub pages: Vec<View>,
}

/// A parameter's rows as kernels see them.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The first row.
    pub row0: usize,
    /// How many.
    pub rows: usize,
    /// `(rows, cols)`.
    pub view: View,
}

/// A parameter, in one or more parts.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// All rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// The parts, by rows.
    pub parts: Vec<Rows>,
}

impl Matrix {
    /// The only part.
    ///
    /// # Panics
    /// When the parameter is split; vectors never are.
    pub fn whole(&self) -> &View {
        assert_eq!(self.parts.len(), 1, "a split parameter bound as one");
        &self.parts[0].view
    }
}

impl Pages {
    /// Zeroed pages named `label`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when the device has no room.
    pub fn new(gpu: &Gpu, label: &str, layout: std::sync::Arc<Layout>) -> Result<Pages> {
        let pages = layout
            .pages
            .iter()
            .enumerate()
            .map(|(at, &words)| gpu.storage(&format!("{label}.{at}"), words))
            .collect::<Result<_>>()?;
        Ok(Pages { layout, pages })
    }

    /// Copies all of `from`, whose layout is the same.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] when the device refuses.
    pub(crate) fn copy_from(&self, gpu: &Gpu, from: &Pages) -> Result<()> {
        if gpu.is_rehearsal() {
            return Ok(());
        }
        let mut encoder = gpu.encoder("pages");
        for (to, from) in self.pages.iter().zip(&from.pages) {
            from.encode_copy(&mut encoder, to.buffer(), to.offset);
        }
        gpu.submit(encoder)
    }

    /// Parameter `id`.
    pub fn matrix(&self, id: usize) -> Matrix {
        let place = &self.layout.places[id];
        let parts = place
            .parts
            .iter()
            .map(|part| Rows {
                row0: part.row0,
                rows: part.rows,
                view: self.pages[part.page].slice(part.start, part.rows * place.cols),
            })
            .collect();
        Matrix { rows: place.rows, cols: place.cols, parts }
    }

    /// Writes parameter `id` from `data`, row-major.
    ///
    /// # Panics
    /// When `data` has another length.
    pub fn write(&self, gpu: &Gpu, id: usize, data: &[f32]) {
        let matrix = self.matrix(id);
        assert_eq!(data.len(), matrix.rows * matrix.cols, "parameter {id}");
        for part in &matrix.parts {
            let start = part.row0 * matrix.cols;
            gpu.write(&part.view, &data[start..start + part.rows * matrix.cols]);
        }
    }

    /// Reads every parameter, row-major. Not one by one, since a readback may take long whatever it brings; not all at
    /// once, since they lie in a staging buffer meanwhile.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read(&self, gpu: &Gpu) -> Result<Vec<Vec<f32>>> {
        let places = &self.layout.places;
        let mut all: Vec<Vec<f32>> =
            places.iter().map(|place| Vec::with_capacity(place.rows * place.cols)).collect();
        for (page, view) in self.pages.iter().enumerate() {
            for start in (0..view.len()).step_by(READ) {
                let words: Vec<f32> = gpu.read(&view.slice(start, READ.min(view.len() - start))).await?;
                for (place, data) in places.iter().zip(&mut all) {
                    for part in place.parts.iter().filter(|part| part.page == page) {
                        let end = (part.start + part.rows * place.cols).min(start + words.len());
                        let from = part.start.max(start);
                        if from < end {
                            data.extend_from_slice(&words[from - start..end - start]);
                        }
                    }
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_fill_pages_in_order_and_aligned() {
        let layout = Layout::new(&[(3, 5), (1, 7), (10, 10)], 1024);
        assert_eq!(layout.pages, [64 + 64 + 128]);
        assert_eq!(layout.places[2].parts, [Part { row0: 0, rows: 10, page: 0, start: 128 }]);
    }

    #[test]
    fn a_matrix_above_the_page_is_split_by_rows() {
        let layout = Layout::new(&[(300, 8), (1, 8)], 1024);
        let rows: Vec<_> = layout.places[0].parts.iter().map(|p| (p.row0, p.rows)).collect();
        assert_eq!(rows, [(0, 128), (128, 128), (256, 44)]);
        assert!(layout.pages.iter().all(|&words| words <= 1024));
        assert_eq!(layout.places[1].parts[0].page, 2);
    }
}
