//! Files of records, as the trajectories that a model is trained on.

use std::collections::HashSet;
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
            return Err(Error::new(ErrorKind::Data, "there is no file of records", help));
        }
        let mut dataset = Dataset::default();
        for (name, bytes) in files {
            dataset.add(name, bytes, encoder, needs, skip_invalid)?;
        }
        dataset.check()?;
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
            let read = match needs {
                Needs::Pair => encoder.pair(name, record).map(Vec::from),
                _ => encoder.trajectory(name, record).map(|trajectory| vec![trajectory]),
            };
            match read {
                // One copy of the name for all records of a file.
                Ok(read) => {
                    self.trajectories
                        .extend(read.into_iter().map(|t| Trajectory { file: file.clone(), ..t }));
                }
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

    /// Leaves out, of this and of `other`, the records that only one of them holds: two models' readings of one file.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] where no record is left.
    pub fn keep_common(&mut self, other: &mut Dataset) -> Result<()> {
        let lines = |dataset: &Dataset| -> HashSet<(Arc<str>, usize)> {
            dataset.trajectories.iter().map(|t| (t.file.clone(), t.line)).collect()
        };
        let (ours, theirs) = (lines(self), lines(other));
        self.trajectories.retain(|t| theirs.contains(&(t.file.clone(), t.line)));
        other.trajectories.retain(|t| ours.contains(&(t.file.clone(), t.line)));
        let new = |r: &&Rejection| ours.contains(&(r.file.as_str().into(), r.line));
        self.rejected.extend(other.rejected.iter().filter(new).cloned());
        self.check()
    }

    fn check(&self) -> Result<()> {
        if !self.trajectories.is_empty() {
            return Ok(());
        }
        let what = format!("no record is left: all {} are invalid", self.rejected.len());
        Err(Error::new(ErrorKind::Data, what, "`tbrm logs check --model` says what is wrong"))
    }

    /// Tokens of the longest trajectory; 0 where there is none.
    pub fn longest(&self) -> usize {
        self.trajectories.iter().map(|t| t.tokens.len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokenizer::Tokenizer;
    use crate::data::trajectory::Truncated;
    use crate::model::ModelConfig;

    const GOOD: &str = r#"{"prompt": "p", "completion": "a", "reward": 1}"#;
    const LONG: &str = r#"{"prompt": "p", "completion": "aaaaaaaa", "reward": 1}"#;

    fn read(files: &[(&str, String)], positions: usize, skip_invalid: bool) -> Result<Dataset> {
        let tokenizer = Tokenizer::bytes().unwrap();
        let mut config = ModelConfig::preset("nano").unwrap().fitted(&tokenizer, None).unwrap();
        config.max_position_embeddings = positions;
        let encoder = Encoder::new(&tokenizer, None, &config, None, Truncated::Keep).unwrap();
        let files: Vec<File> =
            files.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into_bytes())).collect();
        Dataset::read(&files, &encoder, Needs::Reward, skip_invalid)
    }

    #[test]
    fn records_know_their_file_and_line() {
        let files = [("a", format!("{GOOD}\n\n{GOOD}\n")), ("b", format!("{{\n{LONG}\n{GOOD}"))];
        let dataset = read(&files, 8, true).unwrap();
        let places: Vec<String> = dataset.trajectories.iter().map(Trajectory::place).collect();
        assert_eq!(places, ["a:1", "a:3", "b:3"]);
        let rejected: Vec<_> =
            dataset.rejected.iter().map(|r| (r.file.as_str(), r.line, r.raw.as_str())).collect();
        assert_eq!(rejected, [("b", 1, "{"), ("b", 2, LONG)]);
        assert_eq!((dataset.files.len(), dataset.sha256.len(), dataset.longest()), (2, 2, 3));
        assert!(read(&files, 8, false).unwrap_err().what.starts_with("b:1: "));
        assert!(read(&[], 8, true).unwrap_err().what.contains("no file"));
        assert!(read(&[("b", LONG.to_owned())], 8, true).unwrap_err().what.contains("all 1 are invalid"));
    }

    #[test]
    fn two_readings_of_a_file_keep_what_both_hold() {
        let files = [("a", format!("{LONG}\n{GOOD}\n{{\n"))];
        for (ours, theirs) in [(8, 64), (64, 8)] {
            let (mut ours, mut theirs) =
                (read(&files, ours, true).unwrap(), read(&files, theirs, true).unwrap());
            ours.keep_common(&mut theirs).unwrap();
            for dataset in [&ours, &theirs] {
                assert_eq!(dataset.trajectories.len(), 1);
                assert_eq!(dataset.trajectories[0].line, 2);
            }
            let mut lines: Vec<usize> = ours.rejected.iter().map(|r| r.line).collect();
            lines.sort_unstable();
            assert_eq!(lines, [1, 3]);
        }
    }
}
