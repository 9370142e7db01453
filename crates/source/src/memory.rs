//! A source that lives in memory: what the conformance suite is tried on first.
