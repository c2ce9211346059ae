//! Bytes that both ends can make: the same for the same seed, like noise to look at.

use sha2::{Digest, Sha256};

use crate::peers::hex;

/// An endless stream of bytes, in whole blocks.
#[derive(Debug, Clone)]
pub struct Content {
    state: u64,
}

/// The size of a block.
pub const BLOCK: usize = 64 * 1024;

impl Content {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next block, cut to at most `limit` bytes.
    #[must_use]
    pub fn block(&mut self, limit: u64) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            block.extend_from_slice(&self.word().to_le_bytes());
        }
        block.truncate(usize::try_from(limit).unwrap_or(BLOCK));
        block
    }

    /// One step of SplitMix64.
    fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

/// The SHA-256 of the first `bytes` of a seed's stream, in hexadecimal.
#[must_use]
pub fn digest(seed: u64, bytes: u64) -> String {
    let mut content = Content::new(seed);
    let mut hash = Sha256::new();
    let mut left = bytes;
    while left > 0 {
        let block = content.block(left);
        left -= block.len() as u64;
        hash.update(&block);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_its_seed_and_its_length() {
        assert_eq!(digest(1, 200_000), digest(1, 200_000));
        assert_ne!(digest(1, 200_000), digest(2, 200_000));
        assert_ne!(digest(1, 200_000), digest(1, 199_999));
        let mut content = Content::new(1);
        assert_ne!(content.block(u64::MAX), content.block(u64::MAX));
    }
}
