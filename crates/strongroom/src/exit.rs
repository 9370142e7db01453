//! Which number the program ends with: the one place that chooses it. `docs/cli.md` holds the same table; a test compares.

use std::fmt::Write as _;

use crate::failure::Failure;

/// How the program ended. The numbers follow restic's where the meaning is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    Failure = 1,
    Usage = 2,
    Partial = 3,
    Differences = 4,
    Damage = 5,
    NoRepository = 10,
    NoIdentity = 12,
    Untrusted = 13,
    Newer = 14,
    Unreachable = 15,
    Denied = 16,
    Conflict = 17,
    Contended = 18,
    Interrupted = 130,
}

impl Exit {
    pub(crate) const ALL: [Self; 15] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Partial,
        Self::Differences,
        Self::Damage,
        Self::NoRepository,
        Self::NoIdentity,
        Self::Untrusted,
        Self::Newer,
        Self::Unreachable,
        Self::Denied,
        Self::Conflict,
        Self::Contended,
        Self::Interrupted,
    ];

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failure => "failed",
            Self::Usage => "the command line or the configuration is wrong",
            Self::Partial => "done in part: something could not be captured, compared or restored",
            Self::Differences => "differences were found",
            Self::Damage => "damage was found",
            Self::NoRepository => "there is no repository at that place",
            Self::NoIdentity => "no identity opens the snapshot",
            Self::Untrusted => "the writer is not trusted",
            Self::Newer => "the repository needs a newer strongroom",
            Self::Unreachable => "a source or a store does not answer",
            Self::Denied => "a source, a store or the system refused: password, key or permission",
            Self::Conflict => "something is in the way and was not overwritten",
            Self::Contended => "other backups of the job kept getting in first",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a failed command ends with: the first thing in the chain that knows.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.exit;
    }
    error.chain().find_map(known).unwrap_or(Exit::Failure)
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(error) = cause.downcast_ref::<source::Error>() {
        return of_source(error.kind());
    }
    if let Some(error) = cause.downcast_ref::<repository::Error>() {
        return of_repository(error.kind());
    }
    if let Some(error) = cause.downcast_ref::<format::IdentityError>() {
        return of_identity(error);
    }
    let error = cause.downcast_ref::<std::io::Error>()?;
    (error.kind() == std::io::ErrorKind::PermissionDenied).then_some(Exit::Denied)
}

fn of_identity(error: &format::IdentityError) -> Option<Exit> {
    use format::IdentityError as Kind;
    match error {
        Kind::NoneOpens | Kind::WrongPassphrase | Kind::Plugin(_) => Some(Exit::NoIdentity),
        Kind::Damaged | Kind::NotIdentities(_) | Kind::TooMuchWork => None,
    }
}

fn of_repository(error: &repository::Error) -> Option<Exit> {
    use repository::Error as Kind;
    match error {
        Kind::Unusable {
            reason: format::DescriptionError::Newer(_),
            ..
        }
        | Kind::NewerCommit { .. } => Some(Exit::Newer),
        Kind::NoRepository { .. } => Some(Exit::NoRepository),
        Kind::Exists { .. } => Some(Exit::Conflict),
        Kind::Missing { .. }
        | Kind::Damaged { .. }
        | Kind::DamagedLog { .. }
        | Kind::Unusable { .. } => Some(Exit::Damage),
        Kind::NoIdentity { .. } | Kind::NotOpenedAgain { .. } | Kind::Plugin { .. } => {
            Some(Exit::NoIdentity)
        }
        Kind::Untrusted { .. }
        | Kind::UntrustedAppender { .. }
        | Kind::Revoked { .. }
        | Kind::WriterRevoked { .. }
        | Kind::ForeignPrune { .. }
        | Kind::ForeignRotation { .. } => Some(Exit::Untrusted),
        Kind::NobodyLeft { .. } | Kind::Recipients { .. } => Some(Exit::Usage),
        Kind::Contended { .. } | Kind::NotListed { .. } => Some(Exit::Contended),
        Kind::Store { source, .. } => of_store(source.kind()),
        _ => None,
    }
}

fn of_store(kind: repository::StoreFailureKind) -> Option<Exit> {
    use repository::StoreFailureKind as Kind;
    match kind {
        Kind::Unreachable => Some(Exit::Unreachable),
        Kind::Denied => Some(Exit::Denied),
        Kind::NoBucket | Kind::Elsewhere => Some(Exit::NoRepository),
        Kind::Unsupported | Kind::Other => None,
    }
}

fn of_source(kind: source::ErrorKind) -> Option<Exit> {
    use source::ErrorKind as Kind;
    match kind {
        Kind::Unreachable => Some(Exit::Unreachable),
        Kind::Denied => Some(Exit::Denied),
        Kind::Conflict => Some(Exit::Conflict),
        Kind::Configuration => Some(Exit::Usage),
        Kind::Incomplete
        | Kind::Invalid
        | Kind::Program
        | Kind::Local
        | Kind::Unsupported
        | Kind::Bug => None,
    }
}

/// The exit codes of one command, for its help. What every command shares stands first.
pub(crate) fn help(special: &[Exit]) -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        let shared = matches!(
            exit,
            Exit::Ok | Exit::Failure | Exit::Usage | Exit::Interrupted
        );
        if shared || special.contains(&exit) {
            let _ = writeln!(text, "  {:<4} {}", exit.code(), exit.meaning());
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_documented_table_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let document = std::fs::read_to_string(path).expect("docs/cli.md");
        let rows: Vec<&str> = document
            .lines()
            .skip_while(|line| *line != "## Exit codes")
            .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
            .collect();
        let expected: Vec<String> = Exit::ALL
            .iter()
            .map(|exit| format!("| {} | {} |", exit.code(), exit.meaning()))
            .collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn the_code_is_found_anywhere_in_the_chain() {
        let error = source::Error::new(source::ErrorKind::Denied, "etcd refused the password");
        let error = anyhow::Error::new(error).context("read source \"etcd\"");
        assert_eq!(of(&error), Exit::Denied);

        let error = anyhow::Error::new(Failure::new(Exit::NoRepository, "no repository"));
        assert_eq!(of(&error.context("open")), Exit::NoRepository);

        let error = Err::<(), _>(std::io::Error::other("disk"))
            .context(Failure::new(Exit::Conflict, "the file exists"))
            .expect_err("an error");
        assert_eq!(of(&error), Exit::Conflict);
        assert_eq!(of(&anyhow::anyhow!("anything")), Exit::Failure);
    }
}
