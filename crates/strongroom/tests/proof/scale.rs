//! How much is tried.

/// All of it: in CI, and where `STRONGROOM_LONG` asks for it. Otherwise what a laptop has time and room for.
pub(crate) fn is_full() -> bool {
    let asks = |name: &&str| std::env::var_os(name).is_some();
    ["CI", "STRONGROOM_LONG"].iter().any(asks)
}
