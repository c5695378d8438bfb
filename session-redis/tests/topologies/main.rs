//! Clusters and Sentinel where servers move, fail and come back, on servers of the tests' own.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod answers;
mod cluster;
mod disagreement;
mod fake_node;
mod load;
mod node;
mod private_cluster;
mod private_sentinel;
mod replicas;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
