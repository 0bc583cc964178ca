//! Connections: TCP, TLS, and what a connection may cost.

mod connections;
pub mod listener;
pub mod tls;
