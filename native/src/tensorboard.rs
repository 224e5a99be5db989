//! TensorBoard event files: TFRecord frames around `Event` protobuf messages, of which only scalars are written.
//!
//! A frame is `length u64, masked crc32c of the length u32, data, masked crc32c of the data u32`, little-endian
//! (TensorFlow, `lib/io/record_writer.cc`). Message fields are those of `event.proto` and `summary.proto`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tbrm_core::Result;

use crate::store::store_error;

/// Writes one event file; a run that resumes adds another, and TensorBoard shows them as one.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Makes a new event file in `dir`.
    ///
    /// # Errors
    /// [`ErrorKind::Store`](tbrm_core::ErrorKind::Store).
    pub fn create(dir: &Path) -> Result<Self> {
        let now = wall_time();
        // TensorBoard reads a directory's files in the order of their names: the time first, then the process.
        let path = dir.join(format!("events.out.tfevents.{:010}.{}.tbrm", now as u64, std::process::id()));
        let file = File::create(&path).map_err(|error| store_error("cannot write", &path, &error))?;
        let mut writer = EventWriter { path, file };
        let mut event = Message::default();
        event.double(1, now);
        event.bytes(3, b"brain.Event:2");
        writer.write(&event)?;
        Ok(writer)
    }

    /// Writes every number of one line of `metrics.jsonl` as a scalar at its `step`.
    ///
    /// # Errors
    /// [`ErrorKind::Store`](tbrm_core::ErrorKind::Store).
    pub fn scalars(&mut self, metrics: &Value) -> Result<()> {
        let mut summary = Message::default();
        for (tag, value) in metrics.as_object().into_iter().flatten().filter(|(tag, _)| *tag != "step") {
            let Some(number) = value.as_f64() else { continue };
            let mut entry = Message::default();
            entry.bytes(1, tag.as_bytes());
            entry.float(2, number as f32);
            summary.bytes(1, &entry.0);
        }
        let mut event = Message::default();
        event.double(1, wall_time());
        event.varint(2, metrics["step"].as_u64().unwrap_or(0));
        event.bytes(5, &summary.0);
        self.write(&event)
    }

    fn write(&mut self, event: &Message) -> Result<()> {
        self.file.write_all(&frame(&event.0)).map_err(|error| store_error("cannot write", &self.path, &error))
    }
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked_crc(data).to_le_bytes());
    out
}

/// A CRC of data that holds CRCs is weak; hence TFRecord's rotation and offset.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: an event is a few hundred bytes.
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.raw_varint(field << 3 | wire_type);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.raw_varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::testing::TempDir;

    /// RFC 3720, appendix B.4, and the CRC catalogue's check value.
    #[test]
    fn crc32c_gives_the_published_values() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
    }

    #[test]
    fn a_varint_takes_seven_bits_a_byte() {
        let mut message = Message::default();
        message.varint(2, 300);
        assert_eq!(message.0, [0x10, 0xac, 0x02]);
    }

    /// An event of one scalar, against bytes put together by hand from the two .proto files.
    #[test]
    fn a_scalar_event_has_the_right_bytes() {
        let dir = TempDir::new();
        let mut writer = EventWriter::create(&dir).unwrap();
        writer.scalars(&json!({"step": 5, "loss": 0.5, "note": "no number"})).unwrap();
        let file = fs::read(&writer.path).unwrap();

        // The twelve bytes with which every event file of TensorFlow begins: length 24 and its masked CRC.
        assert_eq!(&file[..12], b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22");
        let first = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        assert!(file[12..12 + first].ends_with(b"\x1a\x0dbrain.Event:2"));
        let second = &file[first + 16..];
        let length = u64::from_le_bytes(second[..8].try_into().unwrap()) as usize;
        assert_eq!(second[8..12], masked_crc(&second[..8]).to_le_bytes());
        let event = &second[12..12 + length];
        assert_eq!(second[12 + length..], masked_crc(event).to_le_bytes());
        assert_eq!(event[0], 0x09);
        // step 5; summary of 13 bytes; a value of 11: tag "loss", simple_value 0.5.
        assert_eq!(&event[9..], b"\x10\x05\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f");
    }
}
