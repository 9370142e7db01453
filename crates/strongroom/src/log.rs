//! Logs: to stderr, off by default, on by `-v` or `STRONGROOM_LOG`.
//!
//! Only events of strongroom's own crates are ever written, whatever the level: HTTP and gRPC libraries log the bytes that
//! pass through them, and those are secrets.

use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::Failure;

const VARIABLE: &str = "STRONGROOM_LOG";

/// Starts logging. `-v` says info, `-vv` debug, `-vvv` trace; without it `STRONGROOM_LOG` decides.
pub(crate) fn start(verbose: u8, color: bool) -> Result<(), Failure> {
    let wanted = match verbose {
        0 => std::env::var(VARIABLE).unwrap_or_default(),
        1 => "info".to_owned(),
        2 => "debug".to_owned(),
        _ => "trace".to_owned(),
    };
    if wanted.is_empty() {
        return Ok(());
    }
    let levels = EnvFilter::builder().parse(&wanted).map_err(|_| {
        Failure::usage(format!("{VARIABLE} does not say which logs to write")).hint(format!(
            "{VARIABLE}=info, or debug, trace, strongroom_source=debug"
        ))
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_filter(levels.and(filter_fn(is_ours)));
    // A second call (only tests make one) keeps the first logger.
    let _ = tracing_subscriber::registry().with(lines).try_init();
    Ok(())
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    root == "strongroom" || root.starts_with("strongroom_")
}
