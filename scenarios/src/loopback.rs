//! Worlds on loopback: without root, a slice of 127/8 for each cluster, and wires between
//! them that can be slow, silent, or cut. What stands in them is a value, a
//! [`MeshPlan`](crate::topology::mesh::MeshPlan).

pub mod cluster;

pub mod host;

pub mod proxy;

pub mod slice;

pub mod wire;

pub mod world;
