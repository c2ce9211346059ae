//! What bytes are compared by when they were seen before: a number that depends on all of
//! them and on a secret of this process, so that nobody can make two that are taken for one.

use rand::Rng as _;
use siphasher::sip128::SipHasher13;

/// 128 bits of SipHash, and the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest {
    halves: [u64; 2],
    length: usize,
}

/// Makes digests that compare with one another.
#[derive(Debug, Clone)]
pub(super) struct Digester {
    key: [u8; 16],
}

impl Default for Digester {
    fn default() -> Self {
        Self {
            key: rand::rng().random(),
        }
    }
}

impl Digester {
    pub(super) fn digest(&self, bytes: &[u8]) -> Digest {
        let hash = SipHasher13::new_with_key(&self.key).hash(bytes);
        Digest {
            halves: [hash.h1, hash.h2],
            length: bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_have_the_same_digest() {
        let digester = Digester::default();
        let bytes = [7_u8; 400];
        let digest = digester.digest(&bytes);
        assert_eq!(digest, digester.digest(&bytes));
        for place in 0..bytes.len() {
            let mut other = bytes;
            other[place] ^= 1;
            assert_ne!(digest, digester.digest(&other));
        }
        assert_ne!(digest, digester.digest(&bytes[..399]));
        assert_ne!(digest, Digester::default().digest(&bytes));
    }
}
