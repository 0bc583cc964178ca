//! Connections: TCP, TLS, and their bounds.

mod connections;
pub(crate) mod listener;
pub(crate) mod tls;
