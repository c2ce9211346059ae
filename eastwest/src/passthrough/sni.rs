//! A server name as the route table knows it: in lower case, in space of its own.
//!
//! The name is only for the look-up; the client's bytes go on as they came.

use super::client_hello::MAX_NAME;

/// A lower-cased server name on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Sni {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Sni {
    /// Lower-cases `name`. A name longer than 255 bytes is none that a route can have.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let mut bytes = [0; MAX_NAME];
        let space = bytes.get_mut(..name.len())?;
        space.copy_from_slice(name.as_bytes());
        space.make_ascii_lowercase();
        Some(Self {
            bytes,
            length: name.len(),
        })
    }

    /// The name. Empty if it was not text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_the_only_thing_that_changes() {
        let name = "OutBound_.80_._.HelloWorld.sample.svc.cluster.local";
        let sni = Sni::of(name).unwrap();
        assert_eq!(sni.as_str(), name.to_ascii_lowercase());
    }

    #[test]
    fn a_name_that_dns_cannot_hold_is_none() {
        assert!(Sni::of(&"a".repeat(255)).is_some());
        assert!(Sni::of(&"a".repeat(256)).is_none());
    }
}
