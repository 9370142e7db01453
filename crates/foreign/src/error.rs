use archive::Name;

/// Why a layout cannot be made of what was captured. Never quotes a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is more than is held in memory.
    #[error("more than {0} bytes of Secrets are there, which is more than such a folder has")]
    TooMuch(usize),
    /// Not one namespace, but none or several.
    #[error("{}", namespaces(.0))]
    Namespaces(Vec<Name>),
    /// Nothing of the release that was named.
    #[error(
        "there is no release {0}: no Secret has the label app.kubernetes.io/instance={0}, and helm has no record of it"
    )]
    Release(Name),
    /// Something that the procedure needs is not in the snapshot.
    #[error("{what} is not there, and {why}")]
    Missing {
        /// An entry, or a key of one.
        what: Name,
        /// One clause: who needs it.
        why: &'static str,
    },
    /// Something is there and is not what it should be.
    #[error("{what} {why}")]
    Wrong {
        /// An entry, or a key of one.
        what: Name,
        /// What is wrong with it, as the rest of the sentence.
        why: &'static str,
    },
}

fn namespaces(names: &[Name]) -> String {
    match names {
        [] => "no namespace of the snapshot has a Secret core-credentials, so this is no DataRobot"
            .to_owned(),
        names => {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            format!(
                "several namespaces have a Secret core-credentials: {}",
                names.join(", ")
            )
        }
    }
}
