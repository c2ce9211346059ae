//! Sizes and times as people write them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A time such as `15s` or `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// A number of bytes: `16384` or `16KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "usize")]
pub struct Bytes(pub usize);

/// The two ways to write [`Bytes`].
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Text(String),
}

impl Span {
    /// Whole seconds.
    #[must_use]
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|e| format!("`{text}` is no time ({e}); write 15s, 2m or 1h"))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        humantime::format_duration(span.0).to_string()
    }
}

impl TryFrom<Written> for Bytes {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let text = match written {
            Written::Number(bytes) => return Ok(Self(bytes)),
            Written::Text(text) => text,
        };
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match text[digits.len()..].trim() {
            "" | "B" => Some(1),
            "KiB" => Some(1024),
            "MiB" => Some(1024 * 1024),
            _ => None,
        };
        let number = digits.parse::<usize>().ok();
        number
            .zip(unit)
            .and_then(|(number, unit)| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no size; write 16384 or 16KiB"))
    }
}

impl From<Bytes> for usize {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_ways() {
        let read = |text| serde_yaml_ng::from_str::<Bytes>(text);
        assert_eq!(read("16384").unwrap(), Bytes(16384));
        assert_eq!(read("16KiB").unwrap(), Bytes(16384));
        assert_eq!(read("1 MiB").unwrap(), Bytes(1024 * 1024));
        assert!(read("16kb").is_err());
        assert!(read("KiB").is_err());
    }

    #[test]
    fn a_time_without_unit_is_refused() {
        assert!(serde_yaml_ng::from_str::<Span>("15").is_err());
        assert_eq!(
            serde_yaml_ng::from_str::<Span>("1h 30m").unwrap(),
            Span::seconds(5400)
        );
    }
}
