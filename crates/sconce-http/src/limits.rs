//! What one client may take of the server.

/// Bounds on requests and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request's body. A longer one is a 413.
    pub body_bytes_max: usize,
    /// Time for a body to arrive. A slower one is a 408.
    pub body_timeout_s: u64,
    /// Time for a request's head to arrive; also how long an idle connection is kept.
    pub head_timeout_s: u64,
    /// Time for a client to read something of what is sent to it. A slower one is cut off.
    pub write_timeout_s: u64,
    /// How often a quiet stream shows that it is alive. Proxies give up after 30 to 60 seconds.
    pub keep_alive_s: u64,
    /// Header lines of a request. More are a 431.
    pub headers_max: usize,
    /// Connections at once. Further ones wait to be accepted.
    pub connections_max: usize,
    /// Time for running requests to finish after the shutdown began.
    pub drain_timeout_s: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 << 20,
            body_timeout_s: 30,
            head_timeout_s: 75,
            write_timeout_s: 60,
            keep_alive_s: 15,
            headers_max: 100,
            connections_max: 4096,
            drain_timeout_s: 30,
        }
    }
}
