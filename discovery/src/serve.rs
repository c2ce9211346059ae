//! What discovery serves to others.

pub mod kube;
pub mod xds;
