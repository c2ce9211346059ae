//! How urgent a change of the picture is.

/// What changed in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Effect {
    /// Nothing.
    #[default]
    None,
    /// Nothing that somebody uses was taken away.
    Addition,
    /// A service of the own network began to take traffic from others. Our gateway has to know
    /// before their sidecars do: whoever comes first finds its name closed.
    Opening,
    /// Something was taken away.
    Removal,
}
