use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, copy, sink};
use tokio::process::Command;
use tokio::time::timeout;

use super::shown;
use crate::said::words;
use crate::{Error, ErrorKind};

/// What a tool prints is read up to here.
const OUTPUT_MAX: u64 = 256 * 1024;
/// A tool that does not say its version by then is not one.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// etcd's own program that makes data directories: `etcdutl`, or `etcdctl` before 3.6.
pub(super) struct Tool {
    program: PathBuf,
    version: Version,
}

/// Major and minor number of a release of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32);

/// `etcdctl` lost the command with this release.
const ETCDCTL_CANNOT: Version = Version(3, 6);

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().split('.').map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", shown(&self.program), self.version)
    }
}

impl Tool {
    /// The one at `chosen`, or whichever of `etcdutl` and `etcdctl` is in `PATH`; it has said its version.
    pub(super) async fn find(chosen: Option<&Path>) -> Result<Self, Error> {
        let usual = [Path::new("etcdutl"), Path::new("etcdctl")];
        let candidates = chosen.map_or(&usual[..], |_| &[]);
        for program in chosen.iter().chain(candidates) {
            if let Some(tool) = Self::ask(program).await? {
                return Ok(tool);
            }
        }
        let missing = chosen.map_or("etcdutl is not in PATH".to_owned(), |path| {
            format!("{} does not exist", shown(path))
        });
        let message = format!("{missing}: install etcd's etcdutl, or say --etcdutl-path PATH");
        Err(Error::new(ErrorKind::Program, message))
    }

    /// `None` if there is no such program.
    async fn ask(program: &Path) -> Result<Option<Self>, Error> {
        let mut command = Command::new(program);
        command.arg("version");
        let run = match timeout(VERSION_LIMIT, run(&mut command)).await {
            Ok(Err(cause)) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(run) => run.map_err(|cause| failed(program, "cannot be run").because(cause))?,
            Err(_) => return Err(failed(program, "does not say its version")),
        };
        // "etcdutl version: 3.6.5", then the version of the API.
        let first = run.output.lines().next().unwrap_or_default();
        let said = first
            .split_once(" version: ")
            .filter(|_| run.status.success());
        let (name, version) = said
            .and_then(|(name, version)| Some((name, Version::parse(version)?)))
            .ok_or_else(|| {
                failed(
                    program,
                    "is not etcdutl: it does not say its version as etcdutl does",
                )
            })?;
        if name != "etcdutl" && version >= ETCDCTL_CANNOT {
            let what = format!(
                "is etcdctl {version}, which cannot restore: say --etcdutl-path for an etcdutl"
            );
            return Err(failed(program, &what));
        }
        Ok(Some(Self {
            program: program.to_path_buf(),
            version,
        }))
    }

    /// Why a snapshot by etcd `writer` is not for this tool. An older one makes directories that may lose or misread
    /// what a newer etcd wrote.
    pub(super) fn too_old_for(&self, writer: Version) -> Option<String> {
        (self.version < writer).then(|| {
            format!("the snapshot is by etcd {writer} and {self} is older: say --etcdutl-path for a newer one")
        })
    }

    /// Whether it has the flag that raises revisions; it came with 3.6.
    pub(super) async fn raises_revisions(&self) -> Result<bool, Error> {
        let mut command = Command::new(&self.program);
        command.args(["snapshot", "restore", "--help"]);
        match timeout(VERSION_LIMIT, run(&mut command)).await {
            Ok(Ok(run)) => Ok(run.output.contains("--bump-revision")),
            Ok(Err(cause)) => Err(failed(&self.program, "cannot be run").because(cause)),
            Err(_) => Err(failed(&self.program, "does not say which flags it has")),
        }
    }

    /// Makes `data_dir` of the snapshot in `file`, whose hash the caller looks at.
    pub(super) async fn restore(
        &self,
        file: &Path,
        data_dir: &Path,
        flags: &[String],
    ) -> Result<(), Error> {
        let mut command = Command::new(&self.program);
        command
            .args(["snapshot", "restore", "--skip-hash-check=true"])
            .args(flags)
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--")
            .arg(file);
        let run = run(&mut command).await;
        let run = run.map_err(|cause| failed(&self.program, "cannot be run").because(cause))?;
        if run.status.success() {
            return Ok(());
        }
        let what = format!("failed ({}): {}", run.status, last_words(&run.output));
        Err(failed(&self.program, &what))
    }
}

struct Run {
    status: ExitStatus,
    output: String,
}

/// Runs to the end; dropped before, it kills. Everything printed is gathered, because some releases print errors on
/// standard output.
async fn run(command: &mut Command) -> io::Result<Run> {
    command.env("ETCDCTL_API", "3").kill_on_drop(true);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) =
        tokio::join!(gather(&mut stdout), gather(&mut stderr), child.wait());
    let output = [stdout?, stderr?].concat();
    Ok(Run {
        status: status?,
        output: String::from_utf8_lossy(&output).into_owned(),
    })
}

async fn gather<R: tokio::io::AsyncRead + Unpin>(pipe: &mut Option<R>) -> io::Result<Vec<u8>> {
    let pipe = pipe.as_mut().expect("it was asked for");
    let mut output = Vec::new();
    pipe.take(OUTPUT_MAX).read_to_end(&mut output).await?;
    copy(pipe, &mut sink()).await?;
    Ok(output)
}

/// The line that says why: the last one that starts with "Error:", or the last one.
fn last_words(output: &str) -> archive::Name {
    let lines = || {
        output
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let error = lines()
        .filter_map(|line| line.strip_prefix("Error:"))
        .next_back();
    words(
        error
            .or_else(|| lines().next_back())
            .unwrap_or("it said nothing"),
    )
}

fn failed(program: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Program, format!("{} {what}", shown(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("tool");
        testkit::make_script(&path, text);
        path
    }

    async fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Tool::find(Some(&script(folder.path(), text)))
            .await
            .err()
            .expect("refused");
        assert_eq!(error.kind(), ErrorKind::Program);
        error.to_string()
    }

    #[tokio::test]
    async fn what_is_not_the_tool_is_refused() {
        let error = Tool::find(Some(Path::new("/no/etcdutl")))
            .await
            .err()
            .expect("refused");
        assert!(
            error.to_string().contains("/no/etcdutl does not exist"),
            "{error}"
        );
        assert!(refusal("echo hello").await.contains("is not etcdutl"));
        assert!(
            refusal("echo 'etcdutl version: 3.6.5'; exit 1")
                .await
                .contains("is not etcdutl")
        );
        assert!(
            refusal("echo 'etcdctl version: 3.6.5'")
                .await
                .contains("cannot restore")
        );
    }

    #[tokio::test]
    async fn a_failure_is_one_sentence() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "[ $1 = version ] && echo 'etcdutl version: 3.6.5' && exit\n\
                    echo 'Error: the disk \x1b[2J is full' >&2; echo usage; yes | head -c 400000; exit 7";
        let tool = Tool::find(Some(&script(folder.path(), text)))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let error = tool
            .restore(Path::new("f"), Path::new("d"), &[])
            .await
            .expect_err("it fails");
        let said = error.to_string();
        assert!(
            said.contains("failed (exit status: 7): the disk \\x1b[2J is full"),
            "{said}"
        );
        assert_eq!(tool.too_old_for(Version(3, 6)), None);
        assert!(
            tool.too_old_for(Version(3, 7))
                .is_some_and(|reason| reason.contains("3.7"))
        );
    }
}
