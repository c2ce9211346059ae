//! The first line of a file of state: what it is, its version, and the SHA-256 of the rest.
//! Pure.
//!
//! Nothing below a seal is ever read in part: one bit that differs, and there is nothing. It
//! guards against accidents, not against people: who may write the file may write any seal.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// What all files of a kind begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// What they are, in a few words.
    pub of: &'static str,
    /// Another form of anything below the line needs another one.
    pub version: &'static str,
}

/// Why bytes are not what was sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Something else altogether.
    #[error("it does not begin with `{0}`")]
    Foreign(&'static str),
    /// Written by a program that is older or newer.
    #[error("it has version {found}, and this program reads version {read}")]
    Version {
        /// The version that it names.
        found: String,
        /// The only one that is read.
        read: &'static str,
    },
    /// Not what was written.
    #[error("it is truncated or was changed: its SHA-256 is not the one that it names")]
    Checksum,
}

impl Seal {
    /// A body under its line.
    #[must_use]
    pub fn close(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = self.line(body).into_bytes();
        bytes.extend(body);
        bytes
    }

    /// The body, when every bit is as it was.
    ///
    /// # Errors
    /// Why it is not.
    pub fn open<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], Broken> {
        let foreign = || Broken::Foreign(self.of);
        let end = bytes.iter().take(LONGEST_LINE).position(|b| *b == b'\n');
        let (line, body) = bytes.split_at(end.ok_or_else(foreign)? + 1);
        self.check(line)?;
        match line == self.line(body).as_bytes() {
            true => Ok(body),
            false => Err(Broken::Checksum),
        }
    }

    /// Whether a first line is of this kind and version.
    pub(super) fn check(&self, line: &[u8]) -> Result<(), Broken> {
        let foreign = || Broken::Foreign(self.of);
        let line = std::str::from_utf8(line).map_err(|_| foreign())?;
        let rest = line.strip_prefix(self.of).ok_or_else(foreign)?;
        let found = rest.split_whitespace().next().unwrap_or_default();
        match found == self.version {
            true => Ok(()),
            false => Err(Broken::Version {
                found: found.to_owned(),
                read: self.version,
            }),
        }
    }

    fn line(&self, body: &[u8]) -> String {
        format!(
            "{} {} {}",
            self.of,
            self.version,
            sha256(Sha256::new_with_prefix(body))
        )
    }
}

/// A digest as the end of a line.
pub(super) fn sha256(digest: Sha256) -> String {
    let mut line = "sha256 ".to_owned();
    for byte in digest.finalize() {
        // Writing to a string does not fail.
        let _ = write!(line, "{byte:02x}");
    }
    line.push('\n');
    line
}

const LONGEST_LINE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal {
        of: "isthmus test",
        version: "1",
    };

    #[test]
    fn what_is_opened_is_what_was_closed() {
        for body in [&b""[..], b"one\ntwo", &[0xff; 1000]] {
            assert_eq!(SEAL.open(&SEAL.close(body)), Ok(body));
        }
        let text = String::from_utf8(SEAL.close(b"abc")).unwrap();
        assert_eq!(
            text,
            "isthmus test 1 sha256 \
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\nabc"
        );
    }

    #[test]
    fn one_bit_or_byte_that_differs_and_there_is_nothing() {
        let bytes = SEAL.close(b"some bytes of a body");
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                assert!(SEAL.open(&changed).is_err(), "bit {bit} of byte {place}");
            }
            assert!(SEAL.open(&bytes[..place]).is_err(), "cut at {place}");
        }
        let longer = [&bytes[..], b" "].concat();
        assert_eq!(SEAL.open(&longer), Err(Broken::Checksum));
    }

    #[test]
    fn others_are_told_apart() {
        let next = Seal {
            version: "2",
            ..SEAL
        };
        let found = "2".to_owned();
        let version = Err(Broken::Version { found, read: "1" });
        assert_eq!(SEAL.open(&next.close(b"x")), version);
        for foreign in [&b""[..], b"{}\n", &[b'a'; 1000]] {
            assert_eq!(SEAL.open(foreign), Err(Broken::Foreign(SEAL.of)));
        }
    }
}
