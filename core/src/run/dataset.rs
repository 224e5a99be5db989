//! Files of records, as the trajectories that a model is trained on.

use std::sync::Arc;

use super::File;
use super::files::sha256;
use crate::data::record::{Needs, Rejection, read_all};
use crate::data::trajectory::{Encoder, Trajectory};
use crate::error::{Error, ErrorKind, Result};

/// What one or more files hold.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// In the order of the files and their lines.
    pub trajectories: Vec<Trajectory>,
    /// Lines that were set aside.
    pub rejected: Vec<Rejection>,
    /// The files' names.
    pub files: Vec<String>,
    /// SHA-256 of each file, hexadecimal.
    pub sha256: Vec<String>,
}

impl Dataset {
    /// Reads `files`. The first bad line is an error, unless `skip_invalid` sets such lines aside.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] names file, line and field, or the file without a valid record.
    pub fn read(files: &[File], encoder: &Encoder<'_>, needs: Needs, skip_invalid: bool) -> Result<Dataset> {
        if files.is_empty() {
            let help = "give at least one file of records";
            return Err(Error::new(ErrorKind::Data, "there is no file to train on", help));
        }
        let mut dataset = Dataset::default();
        for (name, bytes) in files {
            dataset.add(name, bytes, encoder, needs, skip_invalid)?;
        }
        if dataset.trajectories.is_empty() {
            let what = format!("no record can be trained on: all {} are invalid", dataset.rejected.len());
            return Err(Error::new(ErrorKind::Data, what, "`tbrm logs check --model` says what is wrong"));
        }
        Ok(dataset)
    }

    fn add(
        &mut self,
        name: &str,
        bytes: &[u8],
        encoder: &Encoder<'_>,
        needs: Needs,
        skip_invalid: bool,
    ) -> Result<()> {
        let file: Arc<str> = name.into();
        let (records, rejected) = read_all(name, bytes, needs, skip_invalid)?;
        self.rejected.extend(rejected);
        for record in &records {
            match encoder.trajectory(name, record) {
                // One copy of the name for all records of a file.
                Ok(trajectory) => self.trajectories.push(Trajectory { file: file.clone(), ..trajectory }),
                Err(rejection) if skip_invalid => {
                    let line = bytes.split(|&byte| byte == b'\n').nth(record.line - 1).unwrap_or_default();
                    let raw = String::from_utf8_lossy(line.trim_ascii()).into_owned();
                    self.rejected.push(Rejection { raw, ..rejection });
                }
                Err(rejection) => return Err(rejection.error()),
            }
        }
        self.files.push(name.to_owned());
        self.sha256.push(sha256([bytes]));
        Ok(())
    }

    /// Tokens of the longest trajectory; 0 where there is none.
    pub fn longest(&self) -> usize {
        self.trajectories.iter().map(|t| t.tokens.len()).max().unwrap_or(0)
    }
}
