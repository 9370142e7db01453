//! age plugins: programs that hold kinds of recipients and identities that age itself does not know, such as hardware tokens and
//! post-quantum keys (c2sp.org/age-plugin).
//!
//! The age crate can run them too, but waits for ever for one that hangs, takes in whatever one prints, and writes file keys to
//! standard error where `AGEDEBUG=plugin` says so. Here nothing of a conversation is ever shown, and each has limits.

mod conversation;
mod stanza;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use age_core::secrecy::ExposeSecret as _;
use format::{FileKey, PluginError, PluginName, Plugins, Stanza, Wrapped};
use zeroize::Zeroizing;

use crate::output::Output;
use conversation::Conversation;

/// How long a plugin may be silent where nobody is there whom it could wait for.
const ALONE: Duration = Duration::from_secs(30);
/// And where somebody may have to find a token and touch it.
const WITH_A_PERSON: Duration = Duration::from_mins(5);

/// Who answers what a plugin asks.
#[derive(Clone, Copy)]
enum Person {
    /// A backup runs by itself.
    Nobody,
    AtTerminal(Output),
}

/// Plugins as programs, found in `PATH`.
pub(crate) struct Programs {
    path: OsString,
    person: Person,
    patience: Duration,
}

impl Programs {
    /// For sealing, where nobody is asked anything.
    pub(crate) fn alone() -> Self {
        Self::new(Person::Nobody, ALONE)
    }

    /// For opening: whoever sits at the terminal is asked.
    pub(crate) fn with_person(output: Output) -> Self {
        Self::new(Person::AtTerminal(output), WITH_A_PERSON)
    }

    fn new(person: Person, patience: Duration) -> Self {
        Self {
            path: std::env::var_os("PATH").unwrap_or_default(),
            person,
            patience,
        }
    }

    fn start(&self, plugin: &PluginName, machine: &str) -> Result<Conversation, PluginError> {
        let program = plugin.program();
        let found = self.find(&program).ok_or_else(|| {
            PluginError(format!(
                "{program} is not installed: a key of its kind needs it in a folder of PATH"
            ))
        })?;
        Conversation::start(&program, &found, machine, self.patience)
    }

    /// Not in folders that are named relative to where we happen to run.
    fn find(&self, program: &str) -> Option<PathBuf> {
        let runs = |path: &PathBuf| {
            let metadata = std::fs::metadata(path);
            metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        };
        std::env::split_paths(&self.path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(program))
            .find(runs)
    }

    /// Answers what a plugin may say at any time.
    fn answer(&self, talk: &Conversation, heard: &Stanza) -> Result<(), PluginError> {
        let text = String::from_utf8_lossy(&heard.body);
        match heard.tag.as_str() {
            "msg" => {
                if let Person::AtTerminal(output) = self.person {
                    output.note(format_args!("{}: {text}", talk.program()));
                }
                talk.say("ok", &[], b"");
            }
            "confirm" => {
                let choices = choices(&heard.args).ok_or_else(|| talk.nonsense())?;
                let yes = self.confirm(talk, &text, &choices)?;
                talk.say("ok", &[if yes { "yes" } else { "no" }], b"");
            }
            "request-public" | "request-secret" => {
                let hidden = heard.tag == "request-secret";
                let answer = self.ask(talk, &text, hidden)?;
                talk.say("ok", &[], answer.as_bytes());
            }
            _ => talk.say("unsupported", &[], b""),
        }
        Ok(())
    }

    fn ask(
        &self,
        talk: &Conversation,
        question: &str,
        hidden: bool,
    ) -> Result<Zeroizing<String>, PluginError> {
        let prompt = format!("{}: {question}: ", talk.program());
        let answer = match self.person {
            Person::Nobody => None,
            Person::AtTerminal(output) => output
                .line(&prompt, hidden)
                .map_err(|error| PluginError(format!("{}: {error:#}", talk.program())))?,
        };
        answer.ok_or_else(|| {
            PluginError(format!(
                "{} asks a question, and nobody is at a terminal to answer it: {question}",
                talk.program()
            ))
        })
    }

    fn confirm(
        &self,
        talk: &Conversation,
        question: &str,
        choices: &[String],
    ) -> Result<bool, PluginError> {
        let no = choices.get(1).map_or("no", String::as_str);
        let question = format!("{question} [y: {}, n: {no}]", choices[0]);
        loop {
            let answer = self.ask(talk, &question, false)?;
            match answer.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => {}
            }
        }
    }
}

/// What the answers to a question are called: one, or two.
fn choices(arguments: &[String]) -> Option<Vec<String>> {
    let decoded = arguments.iter().take(2).map(|argument| {
        let bytes = stanza::decode(argument.as_bytes())?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    });
    let decoded: Vec<String> = decoded.collect::<Option<_>>()?;
    (!decoded.is_empty()).then_some(decoded)
}

impl Plugins for Programs {
    fn wrap(
        &self,
        plugin: &PluginName,
        recipients: &[String],
        key: &FileKey,
    ) -> Result<Wrapped, PluginError> {
        let mut talk = self.start(plugin, "recipient-v1")?;
        for recipient in recipients {
            talk.say("add-recipient", &[recipient], b"");
        }
        talk.say("extension-labels", &[], b"");
        talk.say("wrap-file-key", &[], key.expose_secret());
        talk.say("done", &[], b"");
        let mut stanzas = Vec::new();
        let mut labels = None;
        loop {
            let mut heard = talk.hear()?;
            match heard.tag.as_str() {
                "done" => break,
                "recipient-stanza" => {
                    // The number of the file, of which there is one, then the stanza's own words.
                    if heard.args.len() < 2 || heard.args[0] != "0" {
                        return Err(talk.nonsense());
                    }
                    let args = heard.args.split_off(2);
                    let tag = heard.args.swap_remove(1);
                    let body = heard.body;
                    stanzas.push(Stanza { tag, args, body });
                    talk.say("ok", &[], b"");
                }
                "labels" if labels.is_none() => {
                    labels = Some(BTreeSet::from_iter(heard.args));
                    talk.say("ok", &[], b"");
                }
                "error" => return Err(talk.refused(&heard)),
                _ => self.answer(&talk, &heard)?,
            }
        }
        if stanzas.is_empty() {
            return Err(talk.nonsense());
        }
        let labels = labels.unwrap_or_default();
        Ok(Wrapped { stanzas, labels })
    }

    fn unwrap(
        &self,
        plugin: &PluginName,
        identities: &[Zeroizing<String>],
        stanzas: &[Stanza],
    ) -> Result<Option<FileKey>, PluginError> {
        let mut talk = self.start(plugin, "identity-v1")?;
        for identity in identities {
            talk.say("add-identity", &[identity], b"");
        }
        for stanza in stanzas {
            let mut words = vec!["0", &stanza.tag];
            words.extend(stanza.args.iter().map(String::as_str));
            talk.say("recipient-stanza", &words, &stanza.body);
        }
        talk.say("done", &[], b"");
        let (mut found, mut refused) = (None, None);
        loop {
            let heard = talk.hear()?;
            match heard.tag.as_str() {
                "done" => break,
                "file-key" => {
                    let body = Zeroizing::new(heard.body);
                    let key = <[u8; 16]>::try_from(&body[..]).map_err(|_| talk.nonsense())?;
                    found = Some(FileKey::new(Box::new(key)));
                    talk.say("ok", &[], b"");
                }
                "error" => {
                    refused.get_or_insert_with(|| talk.refused(&heard));
                    talk.say("ok", &[], b"");
                }
                _ => self.answer(&talk, &heard)?,
            }
        }
        match (found, refused) {
            (None, Some(refused)) => Err(refused),
            (found, _) => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests;
