//! Trust: one shared root, one intermediate per cluster, and the certificates below them.

pub mod identity;
