//! The one module that prints. Its rules:
//!
//! 1. stdout is data: what was asked for, and nothing else. stderr is talk: progress, notes, errors.
//! 2. `--json` makes stdout one JSON document per command and an error one JSON object on stderr. The forms are documented
//!    in `docs/cli.md` and stable. Talk is left out.
//! 3. `--quiet` leaves out talk. It never leaves out data or an error.
//! 4. Colour and bars only on a terminal, and never if `NO_COLOR` is set or `TERM` is `dumb`.
//! 5. Names come from outside: they reach this module escaped (`archive::Name`), and whatever else holds control characters
//!    is escaped here.
//! 6. Values of secrets pass through [`Output::raw`] only, for the commands whose purpose it is (`get`, `cat`).
//! 7. What a person types is read here, and what is secret of it is not echoed ([`Output::line`]).
//! 8. An error is printed once: `strongroom: ` and its chain joined by `: `, then `hint: ` and what to type next.

mod terminal;

use std::fmt::{Display, Write as _};
use std::io::{self, BufRead as _, BufWriter, IsTerminal, Read as _, Stdout, Write};

use anyhow::Context as _;
use clap::error::ErrorKind;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::exit::{self, Exit};
use crate::failure::hint_of;

/// What a failed write to standard output says.
const STDOUT: &str = "write to stdout";

/// Where a command's answer and its talk go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) form: Form,
    pub(crate) color: bool,
    /// Whether stderr is a terminal that can be drawn on.
    pub(crate) terminal: bool,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text, and talk beside it.
    Text,
    /// Text alone.
    Quiet,
    /// JSON alone.
    Json,
}

/// An error as `--json` prints it.
#[derive(Serialize)]
struct ErrorObject<'a> {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    exit_code: u8,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stderr().is_terminal() && !dumb;
        Self {
            form: match (json, quiet) {
                (true, _) => Form::Json,
                (false, true) => Form::Quiet,
                (false, false) => Form::Text,
            },
            color: terminal && !no_color,
            terminal,
        }
    }

    pub(crate) fn json(self) -> bool {
        self.form == Form::Json
    }

    /// The answer of a command: its text form, or one line of JSON.
    pub(crate) fn answer<T: Display + Serialize>(self, answer: &T) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.json() {
            serde_json::to_writer(&mut stdout, answer)
                .map_err(io::Error::from)
                .context(STDOUT)?;
            return finish(stdout.write_all(b"\n"));
        }
        finish(write!(stdout, "{answer}"))
    }

    /// Exact bytes: a script, a document, the value of a secret that was asked for by name.
    pub(crate) fn raw(bytes: &[u8]) -> anyhow::Result<()> {
        finish(io::stdout().lock().write_all(bytes))
    }

    /// Whether data goes to a screen, where a secret would be seen and kept in a scroll-back.
    pub(crate) fn data_is_shown() -> bool {
        io::stdout().is_terminal()
    }

    /// A list that may be too long to hold: its `head`, a JSON object, and then its rows one by one, under `key`.
    pub(crate) fn list<T: Serialize>(self, head: &T, key: &str) -> anyhow::Result<List> {
        let mut stdout = BufWriter::new(io::stdout());
        if self.json() {
            let head = serde_json::to_string(head).expect("a head serializes");
            let open = head.strip_suffix('}').expect("a head is an object");
            let comma = if open == "{" { "" } else { "," };
            write!(stdout, "{open}{comma}\"{key}\":[").context(STDOUT)?;
        }
        Ok(List {
            json: self.json(),
            first: true,
            stdout,
        })
    }

    /// Asks whether to go on. `None`: nobody is there to answer, for only a person at a terminal can.
    pub(crate) async fn ask(self, question: &str) -> anyhow::Result<Option<bool>> {
        if self.json() || !self.terminal || !io::stdin().is_terminal() {
            return Ok(None);
        }
        talk(&format!("{} [y/N] ", escape(question)));
        // Not on this thread: an interrupt must still be noticed.
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin()
                .lock()
                .take(64)
                .read_line(&mut line)
                .map(|_| line)
        });
        let answer = answer
            .await
            .expect("reading a line does not panic")
            .context("read the answer")?;
        Ok(Some(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        )))
    }

    /// Asks for a line, `hidden` if it is a secret. `None`: nobody is there to answer.
    ///
    /// Waits for as long as the person takes: not to be called where something else must go on.
    pub(crate) fn line(
        self,
        prompt: &str,
        hidden: bool,
    ) -> anyhow::Result<Option<Zeroizing<String>>> {
        if self.json() || !self.terminal || !io::stdin().is_terminal() {
            return Ok(None);
        }
        talk(&escape(prompt));
        let line = terminal::line(!hidden);
        talk("\n");
        line.map(Some)
    }

    /// Leaves the terminal as it was found, whatever was asked when the program had to end.
    pub(crate) fn leave_terminal() {
        terminal::restore();
    }

    /// One sentence of talk.
    pub(crate) fn note(self, text: impl Display) {
        if self.form == Form::Text {
            talk(&format!("{}\n", escape(&text.to_string())));
        }
    }

    /// The error that ends the program, once, with what to type next.
    pub(crate) fn error(self, error: &anyhow::Error) -> Exit {
        if is_broken_pipe(error) {
            // Whoever read our output has gone and knows why.
            return Exit::Failure;
        }
        let exit = exit::of(error);
        self.report(&chain(error), hint_of(error), exit);
        exit
    }

    /// What clap has to say: help goes to stdout, a mistake is an error like any other.
    pub(crate) fn usage(self, error: &clap::Error) -> Exit {
        if !error.use_stderr() {
            return match finish(write!(io::stdout().lock(), "{}", error.render())) {
                Ok(()) => Exit::Ok,
                Err(error) => self.error(&error),
            };
        }
        let text = error.render().to_string();
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !self.json() {
            talk(&text);
            return Exit::Usage;
        }
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        if self.json() {
            let first = text.split("\n\n").next().unwrap_or_default();
            let first: Vec<&str> = first.split_whitespace().collect();
            self.report(&first.join(" "), Some("strongroom help"), Exit::Usage);
        } else {
            talk(&format!("strongroom: {text}\n"));
        }
        Exit::Usage
    }

    fn report(self, message: &str, hint: Option<&str>, exit: Exit) {
        if self.json() {
            let object = ErrorObject {
                error: message.to_owned(),
                hint,
                exit_code: exit.code(),
            };
            let line = serde_json::to_string(&object).expect("strings and a number serialize");
            return talk(&format!("{line}\n"));
        }
        let mut text = format!("strongroom: {}\n", escape(message));
        if let Some(hint) = hint {
            let _ = writeln!(text, "hint: {}", escape(hint));
        }
        talk(&text);
    }
}

/// Rows of a list on their way to standard output.
pub(crate) struct List {
    json: bool,
    first: bool,
    stdout: BufWriter<Stdout>,
}

impl List {
    /// The next row: a line, or an element.
    pub(crate) fn row<T: Display + Serialize>(&mut self, row: &T) -> anyhow::Result<()> {
        if !self.json {
            return writeln!(self.stdout, "{row}").context(STDOUT);
        }
        let comma = if std::mem::take(&mut self.first) {
            ""
        } else {
            ","
        };
        let json = serde_json::to_string(row).expect("a row serializes");
        write!(self.stdout, "{comma}{json}").context(STDOUT)
    }

    /// To be called after the last row; without it a JSON document stays open, and no reader takes it for whole.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        if self.json {
            self.stdout.write_all(b"]}\n").context(STDOUT)?;
        }
        self.stdout.flush().context(STDOUT)
    }
}

/// The causes joined by `: `. Some libraries repeat their cause in their own words; it is printed once.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Nobody can be told that stderr is closed.
fn talk(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn finish(written: io::Result<()>) -> anyhow::Result<()> {
    written
        .and_then(|()| io::stdout().lock().flush())
        .context(STDOUT)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
        && error.to_string() == STDOUT
}

/// Control characters and whatever else drives a terminal or makes text lie become visible escapes; line feeds stay.
fn escape(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape_line).collect();
    lines.join("\n")
}

fn escape_line(line: &str) -> String {
    // `Name` escapes backslashes too, which a sentence does not need: take them out of its sight.
    let parts: Vec<String> = line
        .split('\\')
        .map(|part| archive::Name::from(part).to_string())
        .collect();
    parts.join("\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talk_cannot_drive_the_terminal() {
        assert_eq!(escape("a\\b\nc"), "a\\b\nc");
        assert_eq!(
            escape("\u{1b}[2J\r\u{202e}"),
            "\\x1b[2J\\x0d\\xe2\\x80\\xae"
        );
    }

    #[test]
    fn a_broken_pipe_is_silent_only_on_stdout() {
        let broken = || anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_broken_pipe(&broken().context(STDOUT)));
        assert!(!is_broken_pipe(&broken().context("write pack 3")));
    }
}
