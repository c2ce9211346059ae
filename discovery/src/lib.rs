//! Discovery: watches the API servers of all member clusters with service-account tokens,
//! merges what they say into one picture, and tells each consumer what it may see.

pub mod model;

pub mod horizon;
pub mod serve;
