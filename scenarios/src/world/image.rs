//! The images that our own pods are of.

/// The image of our command.
pub const OURS: &str = "registry.example/isthmus:world";
/// The image of the application.
pub const APP: &str = "registry.example/world-app:world";
/// The image of nothing: what is there for the test to step into.
pub const NOTHING: &str = "registry.example/nothing:world";
