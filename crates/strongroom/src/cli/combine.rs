use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::help::ending;
use crate::exit::Exit;

/// Bring back an identity from its shares
///
/// Each FILE holds the lines of one or more shares, as `keygen --split` printed them and somebody typed them; /dev/stdin is a file too.
/// The identity is compared with the recipient whose fingerprint is on every share, and its recipient is printed.
///
/// With one share more than are needed, one that is wrong can be told.
#[derive(Args)]
#[command(after_help = ending(
    &["combine --output /dev/shm/identity.txt share-1.txt share-3.txt share-4.txt"],
    &[Exit::Damage, Exit::Newer, Exit::Denied, Exit::Conflict],
))]
pub(crate) struct Combine {
    /// The file to make; one that exists is never overwritten.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Files with shares.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) shares: Vec<PathBuf>,
}

/// How many shares there are, and how many of them are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorum {
    pub(crate) needed: u8,
    pub(crate) total: u8,
}

impl FromStr for Quorum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(needed, total)| {
            let (needed, total) = (needed.parse().ok()?, total.parse().ok()?);
            Some(Self { needed, total })
        });
        parsed.ok_or_else(|| "it is how many are needed, of how many: 3/5".to_owned())
    }
}
