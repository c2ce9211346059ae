//! What discovery serves to others.

pub mod xds;
