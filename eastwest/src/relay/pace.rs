//! Whether the next transfer is worth a pipe. Pure.
//!
//! Small exchanges are cheaper through a shared buffer, long ones through `splice`. Two
//! full buffers in a row show a long one; a run of small transfers ends it.

/// What the last transfers of one direction were like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    full: u8,
    small: u8,
}

impl Pace {
    /// Whether the next transfer should be spliced.
    #[must_use]
    pub fn splices(self) -> bool {
        self.full >= FULL_TO_SPLICE
    }

    /// Notes a transfer of `bytes`, full when it would have filled a buffer of `full`.
    pub fn moved(&mut self, bytes: usize, full: usize) {
        if bytes >= full {
            self.full = self.full.saturating_add(1).min(FULL_TO_SPLICE);
            self.small = 0;
        } else if self.splices() && self.small < SMALL_TO_COPY {
            self.small += 1;
        } else {
            *self = Self::default();
        }
    }
}

const FULL_TO_SPLICE: u8 = 2;
/// Sockets give a long stream in uneven pieces, so one small one ends nothing.
const SMALL_TO_COPY: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_full_reads_in_a_row_begin_to_splice() {
        let mut pace = Pace::default();
        for bytes in [16, 15, 16] {
            pace.moved(bytes, 16);
            assert!(!pace.splices());
        }
        pace.moved(16, 16);
        assert!(pace.splices());
    }

    #[test]
    fn a_run_of_small_ones_ends_it_and_a_few_do_not() {
        let mut pace = Pace::default();
        (0..2).for_each(|_| pace.moved(16, 16));
        (0..SMALL_TO_COPY).for_each(|_| pace.moved(1, 16));
        assert!(pace.splices());
        pace.moved(20, 16);
        (0..SMALL_TO_COPY).for_each(|_| pace.moved(1, 16));
        assert!(pace.splices());
        pace.moved(1, 16);
        assert!(!pace.splices());
    }
}
