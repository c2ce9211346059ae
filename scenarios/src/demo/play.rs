//! Five things to try, each with what to type and what to watch.

/// Something to do to the demo's mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Play {
    /// More pods of v2 in c2, and back.
    Scale,
    /// The export of helloworld in c2 ends, and comes back.
    Export,
    /// c2's API server says nothing any more, and speaks again.
    Freeze,
    /// c2's gateway is killed, and comes back.
    Kill,
    /// c1's token for c2 is replaced, and the old one revoked.
    Token,
}

impl Play {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Scale,
        Self::Export,
        Self::Freeze,
        Self::Kill,
        Self::Token,
    ];

    /// The key that does it.
    #[must_use]
    pub fn key(self) -> char {
        match self {
            Self::Scale => 's',
            Self::Export => 'e',
            Self::Freeze => 'f',
            Self::Kill => 'k',
            Self::Token => 't',
        }
    }

    /// The play of a key.
    #[must_use]
    pub fn of_key(key: char) -> Option<Self> {
        Self::ALL.into_iter().find(|play| play.key() == key)
    }

    /// In a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Scale => "scale v2 in c2",
            Self::Export => "end or renew c2's export of helloworld",
            Self::Freeze => "freeze or thaw c2's API server",
            Self::Kill => "kill c2's gateway",
            Self::Token => "replace c1's token for c2, revoke the old one",
        }
    }

    /// What to watch.
    #[must_use]
    pub fn watch(self) -> &'static str {
        match self {
            Self::Scale => "c1's split follows the number of pods",
            Self::Export => "within a second v2 answers c1 no more; c2's own client still gets it",
            Self::Freeze => "c1 shows c2 stale after 6 s; requests go on, none is lost",
            Self::Kill => "c1 loses requests to v2 until the gateway is back",
            Self::Token => "c2 stays live; no request is lost, nothing is listed again",
        }
    }

    /// What to type instead of the key; `None` where there is only the key. `kubectl` is how
    /// to call it for c2, `gateway` is the process of c2's gateway.
    #[must_use]
    pub fn command(self, kubectl: &str, gateway: Option<u32>) -> Option<String> {
        match self {
            Self::Scale => Some(format!(
                "{kubectl} -n sample scale deployment helloworld-v2 --replicas=3"
            )),
            Self::Export => Some(format!(
                "{kubectl} -n sample label service helloworld isthmus.io/export-"
            )),
            Self::Kill => Some(format!("kill -9 {}", gateway?)),
            Self::Freeze | Self::Token => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_play_has_a_key_of_its_own() {
        let keys: BTreeSet<char> = Play::ALL.iter().map(|play| play.key()).collect();
        assert_eq!(keys.len(), Play::ALL.len());
        assert!(
            Play::ALL
                .iter()
                .all(|play| Play::of_key(play.key()) == Some(*play))
        );
        assert_eq!(Play::of_key('q'), None);
    }
}
