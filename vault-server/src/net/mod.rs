//! Connections: TCP, TLS, and what a connection may cost.

mod connections;
pub(crate) mod listener;
pub(crate) mod tls;
