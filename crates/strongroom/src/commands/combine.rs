//! `combine`: an identity from its shares.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use format::{CombineError, Combined, Share, ShareError, read_shares};
use zeroize::Zeroizing;

use super::keygen::{KeyKind, NewKey, write_new};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::unlock::read_key_file;

/// Makes the identity file, readable by its owner only, from shares in files. Never overwrites; a failure leaves no file. Also says
/// which shares were wrong, if the others sufficed.
pub(crate) fn combine(
    files: &[PathBuf],
    output: &Path,
) -> anyhow::Result<(NewKey, Option<String>)> {
    let mut shares = Vec::new();
    for file in files {
        shares.extend(read(file)?);
    }
    let combined = format::combine(&shares).map_err(refusal)?;
    let Combined {
        identity,
        recipient,
        wrong,
    } = combined;
    let mut text = Zeroizing::new(String::with_capacity(256));
    for part in ["# public key: ", &recipient, "\n", &identity, "\n"] {
        text.push_str(part);
    }
    write_new(output, text.as_bytes())?;
    let key = NewKey {
        kind: KeyKind::Identity,
        public: recipient,
        file: output.to_owned(),
    };
    let wrong: Vec<String> = wrong.iter().map(u8::to_string).collect();
    let wrong = (!wrong.is_empty()).then(|| {
        let numbers = wrong.join(", ");
        format!("wrong, and not needed: share {numbers}")
    });
    Ok((key, wrong))
}

fn read(file: &Path) -> anyhow::Result<Vec<Share>> {
    let named = || format!("read the shares in {}", file.display());
    let bytes = read_key_file(file).with_context(named)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| anyhow!("it is not text"))
        .with_context(named)?;
    let shares = read_shares(text).map_err(|error| {
        let (exit, hint) = match error {
            ShareError::Newer(_) => (Exit::Newer, None),
            _ => (Exit::Damage, Some("compare it with the paper")),
        };
        let failure = Failure::new(exit, named());
        let failure = match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        anyhow!(error).context(failure)
    })?;
    if shares.is_empty() {
        return Err(Failure::usage(format!("{} holds no share", file.display())).into());
    }
    Ok(shares)
}

fn refusal(error: CombineError) -> anyhow::Error {
    let (exit, hint) = match &error {
        CombineError::None | CombineError::TooFew { .. } => (
            Exit::Usage,
            "the others of that set have the same name printed on them",
        ),
        CombineError::OtherSet { .. } => (
            Exit::Usage,
            "give shares of one set, whose name is printed on each",
        ),
        CombineError::Twice(_) => (Exit::Damage, "leave one of them out, or both"),
        CombineError::DoNotFit { .. } => (
            Exit::Damage,
            "with one share more than are needed, the wrong one can be told",
        ),
    };
    let failure = Failure::new(exit, "combine the shares").hint(hint);
    anyhow!(error).context(failure)
}
