//! xDS for Envoys and our gateways.

pub mod resource;
