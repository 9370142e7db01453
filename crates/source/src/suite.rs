//! The conformance suite: what every source promises, real servers included.
