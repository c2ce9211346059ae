//! Whether those who are remembered had their say before the first publication. Pure.
//!
//! What is on disk may be older than what this discovery's last life told its viewers: who
//! still has that must not be told the older state. So whoever lives is listened to first. That
//! costs nothing where API servers are dead: a refused connection says so at once, and silence
//! is not waited for long.

use std::{collections::BTreeMap, time::Duration};

use crate::model::ClusterId;

/// How a cluster that is only remembered stands since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// It was not asked yet, or has not answered.
    Silent,
    /// It answered; its lists are on their way.
    Speaking,
    /// It cannot be used: dead, or it refuses us, or it is somebody else.
    Out,
}

/// Whether nobody who is only remembered is worth waiting for, so long after the start.
pub(super) fn is_over(
    own: &ClusterId,
    remembered: &BTreeMap<ClusterId, Voice>,
    elapsed: Duration,
) -> bool {
    let is_done = |voice: &Voice| match voice {
        Voice::Silent => elapsed >= PATIENCE,
        Voice::Speaking => false,
        Voice::Out => true,
    };
    match remembered.get(own) {
        // It alone names the others: they will not be asked before it speaks.
        Some(voice) => is_done(voice),
        None => remembered.values().all(is_done),
    }
}

/// How long silence is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn over(remembered: &[(&str, Voice)], elapsed: Duration) -> bool {
        let remembered = remembered.iter();
        let remembered = remembered.map(|(id, voice)| (ClusterId::from(*id), *voice));
        is_over(&"own".into(), &remembered.collect(), elapsed)
    }

    #[test]
    fn who_speaks_is_waited_for_and_silence_not_for_long() {
        let (start, soon) = (Duration::ZERO, PATIENCE / 2);
        assert!(over(&[], start));
        for (voice, early, late) in [
            (Voice::Silent, false, true),
            (Voice::Speaking, false, false),
            (Voice::Out, true, true),
        ] {
            for cluster in ["own", "peer"] {
                assert_eq!(
                    over(&[(cluster, voice)], soon),
                    early,
                    "{cluster} {voice:?}"
                );
                assert_eq!(
                    over(&[(cluster, voice)], PATIENCE),
                    late,
                    "{cluster} {voice:?}"
                );
            }
        }
        let both = [("a", Voice::Out), ("b", Voice::Speaking)];
        assert!(!over(&both, PATIENCE));
    }

    #[test]
    fn nobody_is_asked_when_the_own_cluster_is_out() {
        let dark = [("own", Voice::Out), ("peer", Voice::Silent)];
        assert!(over(&dark, Duration::ZERO));
        let dim = [("own", Voice::Speaking), ("peer", Voice::Out)];
        assert!(!over(&dim, PATIENCE));
    }
}
