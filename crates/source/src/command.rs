//! What a program prints: `pg_dump`, `mongodump --archive`, whatever a command can produce.
//!
//! Its standard output is one blob; a restore gives that blob to another program's standard input, or writes it to a
//! new file. No shell is involved. `docs/sources/command.md` says what an operator should know.

use std::path::PathBuf;
use std::time::Duration;

use archive::{Attributes, Body, Content, Entry, Header, Name};
use async_trait::async_trait;

use crate::files::refuse_conflicts;
use crate::{
    Action, Capture, Contents, Entries, Error, ErrorKind, Finding, Plan, Report, RestoreOptions,
    Sink, Source, Step,
};

mod file;
mod program;
mod words;

use program::{Ended, Program};

/// Which program to run, and how. No `Debug`: it holds the values of secrets.
#[derive(Clone, Default)]
pub struct CommandOptions {
    /// The program and its arguments. The arguments are visible to every user of the machine: no secrets in them.
    pub program: Vec<String>,
    /// The same for a restore, which gets the blob on its standard input.
    pub restore: Option<Vec<String>>,
    /// Variables added to the environment of both, by name. The values are secrets and are never shown.
    pub environment: Vec<(String, Content)>,
    /// The folder to run both in; `None`: where strongroom runs.
    pub working_directory: Option<PathBuf>,
    /// How long either may take; `None`: for ever.
    pub timeout: Option<Duration>,
    /// The name of the one entry; empty: `output`.
    pub entry: String,
    /// Whether printing nothing is a success. A dump that is empty is more often a mistake.
    pub allow_empty: bool,
}

/// The source `command`.
pub struct Command {
    options: CommandOptions,
    entry: Name,
}

impl Command {
    /// A source of what `options` says; an error names the option that cannot work. Runs nothing.
    pub fn new(options: CommandOptions) -> Result<Self, Error> {
        let argument_lists = [Some(&options.program), options.restore.as_ref()];
        for list in argument_lists.into_iter().flatten() {
            if list.first().is_none_or(String::is_empty) {
                return Err(configuration("a command needs the name of a program"));
            }
            if list.iter().any(|argument| argument.contains('\0')) {
                return Err(configuration(
                    "an argument of a command contains a zero byte",
                ));
            }
        }
        for (name, value) in &options.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.as_bytes().contains(&0) {
                let name = Name::from(name.as_str());
                let message = format!("environment variable `{name}` cannot be set");
                return Err(configuration(&message));
            }
        }
        let entry = if options.entry.is_empty() {
            "output"
        } else {
            &options.entry
        };
        let entry = Name::from(entry);
        Ok(Self { options, entry })
    }

    fn program(&self, arguments: &[String]) -> Program {
        Program::new(arguments, &self.options)
    }

    async fn action(&self, entry: &Entry, options: &RestoreOptions) -> Result<Action, Error> {
        let unmanageable = |reason: String| Ok(Action::Unmanageable { reason });
        let Body::Blob { length, digest } = entry.body else {
            return unmanageable("it is a record, not the output of a program".to_owned());
        };
        if entry.name != self.entry {
            return unmanageable(format!(
                "this source restores its entry `{}` only",
                self.entry
            ));
        }
        if let Some(target) = &options.target {
            return file::action(target.clone(), length, digest, options.conflict).await;
        }
        match &self.options.restore {
            None => unmanageable(
                "no restore command is configured; restore it to a new file instead".to_owned(),
            ),
            Some(arguments) => {
                let what = vec![format!("piped into {}", self.program(arguments).name())];
                Ok(Action::Update { what })
            }
        }
    }

    /// Runs the restore command and gives it what `contents` yields.
    async fn pipe(&self, contents: &mut dyn Contents) -> Result<Option<String>, Error> {
        let Some(arguments) = &self.options.restore else {
            return Err(configuration("no restore command is configured"));
        };
        let program = self.program(arguments);
        let restored = async {
            let mut running = program.feed()?;
            let read_all = running.give(contents).await?;
            Ok((read_all, running.end().await?))
        };
        let (read_all, ended) = program.limited(restored).await?;
        program.judge(&ended)?;
        let name = program.name();
        let note = format!("`{name}` ended well, but without reading all of its standard input");
        Ok((!read_all).then_some(note))
    }
}

#[async_trait]
impl Source for Command {
    fn kind(&self) -> &'static str {
        "command"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let program = self.program(&self.options.program);
        let header = Header {
            name: self.entry.clone(),
            attributes: Attributes::default(),
            fields: None,
        };
        sink.begin(header).await?;
        let (length, ended) = program.limited(capture(&program, sink)).await?;
        program.judge(&ended)?;
        if length == 0 && !self.options.allow_empty {
            let message = format!(
                "`{}` printed nothing; set allow_empty if that is as it should be",
                program.name()
            );
            return Err(Error::new(ErrorKind::Program, message));
        }
        sink.end().await?;
        let facts = [("program".to_owned(), program.name().to_string())];
        Ok(Capture {
            facts: facts.into(),
            ..Capture::default()
        })
    }

    async fn plan(
        &self,
        entries: &mut dyn Entries,
        options: &RestoreOptions,
    ) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        while let Some(entry) = entries.next().await? {
            let action = self.action(&entry, options).await?;
            plan.steps.push(Step {
                name: entry.name,
                action,
            });
        }
        Ok(plan)
    }

    async fn write(
        &self,
        plan: &Plan,
        contents: &mut dyn Contents,
        options: &RestoreOptions,
    ) -> Result<Report, Error> {
        refuse_conflicts(plan)?;
        let mut report = Report::default();
        for step in plan.steps.iter().filter(|step| step.action.writes()) {
            let entry = contents
                .next()
                .await?
                .filter(|entry| entry.name == step.name);
            if entry.is_none() {
                let message = format!("the plan writes {}, but another entry came", step.name);
                return Err(Error::new(ErrorKind::Bug, message));
            }
            match &options.target {
                Some(target) => file::write(target, contents).await?,
                None => report.notes.extend(self.pipe(contents).await?),
            }
            report.written += 1;
        }
        Ok(report)
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let mut found = false;
        while let Some(entry) = contents.next().await? {
            let mut length = 0;
            while let Some(content) = contents.data().await? {
                length += content.len() as u64;
            }
            let message = match entry.body {
                _ if entry.name != self.entry => Some("it is not the entry of this source"),
                Body::Record { .. } => Some("it is a record, not the output of a program"),
                Body::Blob {
                    length: promised, ..
                } if promised != length => Some("its content is not as long as its entry says"),
                Body::Blob { .. } if length == 0 && !self.options.allow_empty => {
                    Some("it is empty")
                }
                Body::Blob { .. } => None,
            };
            found |= entry.name == self.entry;
            let finding = |message: &str| Finding {
                bad: true,
                name: entry.name.clone(),
                message: message.to_owned(),
            };
            findings.extend(message.map(finding));
        }
        if !found {
            let message = "the entry of this source is not in the snapshot".to_owned();
            findings.push(Finding {
                bad: true,
                name: self.entry.clone(),
                message,
            });
        }
        Ok(findings)
    }
}

/// Runs `program` and pours its output; how much it was, and how the program ended.
async fn capture(program: &Program, sink: &mut Sink) -> Result<(u64, Ended), Error> {
    let mut running = program.listen()?;
    let mut length = 0;
    while let Some(content) = running.output().await? {
        length += content.len() as u64;
        sink.data(content).await?;
    }
    Ok((length, running.end().await?))
}

fn configuration(message: &str) -> Error {
    Error::new(ErrorKind::Configuration, message)
}
