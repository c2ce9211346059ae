//! What bytes are compared by when they were seen before: a number that depends on all of
//! them and on a secret of this process, so that nobody can make two that are taken for one.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

/// 128 bits, and the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest {
    halves: [u64; 2],
    length: usize,
}

/// Makes digests that compare with one another.
#[derive(Debug, Default, Clone)]
pub(super) struct Digester([RandomState; 2]);

impl Digester {
    pub(super) fn digest(&self, bytes: &[u8]) -> Digest {
        let half = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        let Self([one, two]) = self;
        Digest {
            halves: [half(one), half(two)],
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
