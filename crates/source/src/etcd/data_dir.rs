use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;

use archive::{Entry, Name};
use futures::future::{Either, select};
use futures::try_join;

use super::draft::Draft;
use super::glance::Glance;
use super::raise::{Asked, Raise, decide, open_question};
use super::roster::{Peer, Roster};
use super::settings::{
    API_SERVER_KEYS, BUMP, CLUSTER, COMPACTED, DATA_DIR, INITIAL_CLUSTER, LEASES, NAME, NO_BUMP,
    PEER_URLS, REPLACE, SETTINGS, TOOL, WAL_DIR,
};
use super::site::{Aside, Site, Unfinished};
use super::target::must_have_folder;
use super::tool::{Tool, Version};
use super::{KUBERNETES, VERSION, shown};
use crate::{Action, Contents, Error, ErrorKind, RestoreOptions};

/// The data directory of a member, or those of all members, that etcd's own tool shall make.
pub(super) struct DataDir {
    /// As it was said: of a cluster, the folder of all.
    path: PathBuf,
    /// What is to be made, in order.
    members: Vec<Member>,
    roster: Option<Roster>,
    wal_dir: Option<PathBuf>,
    tool: Option<PathBuf>,
    raise: Asked,
    replace: bool,
    moment: String,
}

/// One run of the tool.
struct Member {
    path: PathBuf,
    /// For the tool, each `--name=value`.
    flags: Vec<String>,
}

/// Settings that are for us and not for the tool.
const OURS: [&str; 7] = [DATA_DIR, TOOL, REPLACE, CLUSTER, NO_BUMP, BUMP, COMPACTED];

impl DataDir {
    /// What the settings ask for; `None` if they name no place and are empty.
    pub(super) fn asked_for(options: &RestoreOptions) -> Result<Option<Self>, Error> {
        let settings = &options.settings;
        settings
            .iter()
            .try_for_each(|(name, value)| check_setting(name, value))?;
        let path = |name: &str| settings.get(name).map(PathBuf::from);
        let Some(data_dir) = path(DATA_DIR) else {
            return match settings.keys().next() {
                None => Ok(None),
                Some(name) => Err(wrong(format!("--{name} needs --{DATA_DIR}"))),
            };
        };
        let roster = settings.get(CLUSTER).map(|text| Roster::parse(text));
        let roster = roster.transpose()?;
        if roster.is_some() {
            let own = [NAME, INITIAL_CLUSTER, PEER_URLS, WAL_DIR];
            if let Some(name) = own.iter().find(|name| settings.contains_key(**name)) {
                return Err(wrong(format!(
                    "--{CLUSTER} says names and URLs of all members: --{name} cannot go with it"
                )));
            }
        }
        Ok(Some(Self {
            members: members(&data_dir, roster.as_ref(), settings),
            path: data_dir,
            roster,
            wal_dir: path(WAL_DIR),
            tool: path(TOOL),
            raise: raise(settings)?,
            replace: is_set(settings, REPLACE),
            moment: options.moment.clone(),
        }))
    }

    pub(super) async fn action(
        &self,
        entry: &Entry,
        notes: &mut Vec<String>,
    ) -> Result<Action, Error> {
        must_have_folder(&self.path)?;
        if let Some(reason) = self.in_the_way()? {
            return Ok(Action::Conflict { reason });
        }
        let tool = Tool::find(self.tool.as_deref()).await?;
        if let Some(reason) = writer(entry).and_then(|writer| tool.too_old_for(writer)) {
            return Ok(Action::Unmanageable { reason });
        }
        let why = if self.must_look(entry) {
            open_question()
        } else {
            match decide(self.raise, says_kubernetes(entry), &tool).await? {
                Ok(raise) => raise.why,
                Err(reason) => return Ok(Action::Unmanageable { reason }),
            }
        };
        for member in &self.members {
            let path = shown(&member.path);
            notes.push(format!("{tool} will make the data directory {path}"));
        }
        for path in self.taken() {
            notes.push(format!("what is in {} is moved aside", shown(path?)));
        }
        notes.push(why);
        Ok(Action::Create)
    }

    /// Makes all of it, or leaves everything as it was; no file with the snapshot stays behind either way. Says what to do next.
    pub(super) async fn restore(
        &self,
        entry: &Entry,
        contents: &mut dyn Contents,
    ) -> Result<Vec<String>, Error> {
        self.must_be_free()?;
        let mut draft = Draft::beside(&self.path).await?;
        let mut verified = !was_captured(entry);
        let filling = async {
            if verified {
                draft.fill(contents).await
            } else {
                draft.fill_unverified(contents).await
            }
        };
        let (tool, ()) = try_join!(Tool::find(self.tool.as_deref()), filling)?;
        let looks = self.must_look(entry);
        let glance = if looks || writer(entry).is_none() {
            Glance::at(draft.path()).await?
        } else {
            Glance::default()
        };
        let unsupported = |reason| Error::new(ErrorKind::Unsupported, reason);
        let version = writer(entry).or(glance.version);
        if let Some(reason) = version.and_then(|version| tool.too_old_for(version)) {
            return Err(unsupported(reason));
        }
        let kubernetes = says_kubernetes(entry).or(glance.kubernetes);
        let raise = decide(self.raise, kubernetes, &tool).await?;
        let raise = raise.map_err(unsupported)?;
        // It took its time, and somebody may have started an etcd meanwhile.
        self.must_be_free()?;
        if !verified && self.taken().next().transpose()?.is_some() {
            draft.verify().await?;
            verified = true;
        }
        let site = self.prepare()?;
        let make = self.make(&tool, &draft, &raise);
        if verified {
            make.await?;
        } else {
            unless_failed(draft.verify(), make).await?;
        }
        let mut notes = site.keep();
        notes.extend(looks.then_some(raise.why));
        notes.extend(self.next_steps());
        Ok(notes)
    }

    /// Has the tool make them, one after the other.
    async fn make(&self, tool: &Tool, draft: &Draft, raise: &Raise) -> Result<(), Error> {
        for member in &self.members {
            let flags = [&member.flags[..], &raised(raise)].concat();
            tool.restore(draft.path(), &member.path, &flags).await?;
        }
        Ok(())
    }

    /// Whether only its keys tell if the revision is to be raised: the snapshot was taken elsewhere, or before that was recorded.
    fn must_look(&self, entry: &Entry) -> bool {
        self.raise == Asked::Nothing && says_kubernetes(entry).is_none()
    }

    /// Moves aside what is there. Dropped, the result takes away what was made since, and puts it back.
    fn prepare(&self) -> Result<Prepared, Error> {
        let mut prepared = Prepared::default();
        for path in self.taken() {
            prepared.asides.push(Aside::make(path?, &self.moment)?);
        }
        prepared
            .unfinished
            .extend(self.paths().map(Unfinished::new));
        // The folder of all members only if there is none yet: what else is in it is not ours.
        if self.roster.is_some() && !self.path.exists() {
            prepared.unfinished.push(Unfinished::new(&self.path));
        }
        Ok(prepared)
    }

    fn must_be_free(&self) -> Result<(), Error> {
        let obstacle = self.in_the_way()?;
        obstacle.map_or(Ok(()), |reason| {
            Err(Error::new(ErrorKind::Conflict, reason))
        })
    }

    /// Why nothing may be made here.
    fn in_the_way(&self) -> Result<Option<String>, Error> {
        if self.roster.is_some() && Site::at(&self.path)? == Site::NoDirectory {
            return Ok(Site::NoDirectory.obstacle(&self.path, false));
        }
        for path in self.paths() {
            if let Some(reason) = Site::at(path)?.obstacle(path, self.replace) {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// All that the tool makes.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let members = self.members.iter().map(|member| &*member.path);
        members.chain(self.wal_dir.as_deref())
    }

    /// Those where something is that has to be moved aside. Each is looked at when its turn comes: a log within the data directory goes with it.
    fn taken(&self) -> impl Iterator<Item = Result<&Path, Error>> {
        self.paths().filter_map(|path| match Site::at(path) {
            Ok(Site::Taken) => Some(Ok(path)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn next_steps(&self) -> Vec<String> {
        let Some(roster) = &self.roster else {
            return vec![format!(
                "start etcd with --data-dir {} and the name and URLs of this restore; the directory belongs to the user \
                 who restored it",
                shown(&self.path)
            )];
        };
        let peers = roster.peers().iter().zip(&self.members);
        let steps = peers.map(|(peer, member)| {
            format!(
                "{}: bring {} to its host and start etcd there with --name {} --data-dir DIR --listen-peer-urls {}",
                peer.name,
                shown(&member.path),
                peer.name,
                Name::from(&*peer.urls.join(","))
            )
        });
        let owner = "start all of them; the directories belong to the user who restored them";
        steps.chain([owner.to_owned()]).collect()
    }
}

/// What is undone unless it is kept; what was made goes first.
#[derive(Default)]
struct Prepared {
    unfinished: Vec<Unfinished>,
    asides: Vec<Aside>,
}

impl Prepared {
    /// For good. Says where what was there is now.
    fn keep(mut self) -> Vec<String> {
        self.unfinished.drain(..).for_each(Unfinished::keep);
        let kept = self.asides.drain(..).map(Aside::keep);
        kept.map(|now| {
            format!(
                "what was there is now {}: delete it when it is not needed any more",
                shown(&now)
            )
        })
        .collect()
    }
}

fn members(
    data_dir: &Path,
    roster: Option<&Roster>,
    settings: &BTreeMap<String, String>,
) -> Vec<Member> {
    let flags = settings.iter();
    let flags = flags.filter(|(name, _)| !OURS.contains(&name.as_str()));
    let flags: Vec<String> = flags
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
    let Some(roster) = roster else {
        let path = data_dir.to_path_buf();
        return vec![Member { path, flags }];
    };
    let all = roster.initial_cluster();
    let member = |peer: &Peer| Member {
        path: data_dir.join(&peer.name),
        flags: [
            &flags[..],
            &[
                format!("--{NAME}={}", peer.name),
                format!("--{INITIAL_CLUSTER}={all}"),
                format!("--{PEER_URLS}={}", peer.urls.join(",")),
            ],
        ]
        .concat(),
    };
    roster.peers().iter().map(member).collect()
}

fn raised(raise: &Raise) -> Vec<String> {
    raise.by.map_or_else(Vec::new, |by| {
        vec![format!("--{BUMP}={by}"), format!("--{COMPACTED}=true")]
    })
}

fn raise(settings: &BTreeMap<String, String>) -> Result<Asked, Error> {
    let by = settings.get(BUMP).and_then(|by| by.parse().ok());
    let (compacted, no) = (is_set(settings, COMPACTED), is_set(settings, NO_BUMP));
    match (by, compacted, no) {
        (Some(_), _, true) => Err(wrong(format!(
            "--{BUMP} and --{NO_BUMP} exclude each other"
        ))),
        (Some(by), true, false) => Ok(Asked::By(by)),
        (None, false, true) => Ok(Asked::No),
        (None, false, false) => Ok(Asked::Nothing),
        _ => Err(wrong(format!(
            "--{BUMP} and --{COMPACTED} must be given together"
        ))),
    }
}

fn is_set(settings: &BTreeMap<String, String>, name: &str) -> bool {
    settings.get(name).is_some_and(|value| value == "true")
}

/// Whether it was captured from a server: then it had been found whole, and its digest has just said that these are the bytes. Its own
/// SHA-256 is looked at beside the tool's work then, and not before, unless something has to make room: a pass over a gigabyte takes a second.
fn was_captured(entry: &Entry) -> bool {
    entry.attributes.text(VERSION).is_some()
}

/// Both, at the same time. As soon as the first has failed, the second is dropped; if both fail, the first one's error is it.
async fn unless_failed(
    first: impl Future<Output = Result<(), Error>>,
    second: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let (first, second) = (pin!(first), pin!(second));
    match select(first, second).await {
        Either::Left((first, second)) => {
            first?;
            second.await
        }
        Either::Right((second, first)) => {
            first.await?;
            second
        }
    }
}

/// The release of the server that it was captured from, if it was.
fn writer(entry: &Entry) -> Option<Version> {
    entry.attributes.text(VERSION).and_then(Version::parse)
}

fn says_kubernetes(entry: &Entry) -> Option<bool> {
    entry.attributes.text(KUBERNETES).map(|said| said == "yes")
}

fn check_setting(name: &str, value: &str) -> Result<(), Error> {
    if name == "skip-hash-check" {
        return Err(wrong(
            "skip-hash-check is not needed: what is restored has its hash, and it is verified",
        ));
    }
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        let message = format!(
            "etcd has no restore setting {}; it has {}",
            Name::from(name),
            known.join(", ")
        );
        return Err(wrong(message));
    };
    if [LEASES, API_SERVER_KEYS].contains(&name) {
        return Err(wrong(format!(
            "--{name} is about single keys: say --inside, which restores those"
        )));
    }
    if value.is_empty() {
        return Err(wrong(format!("--{name} is empty")));
    }
    if setting.value.is_none() && !["true", "false"].contains(&value) {
        return Err(wrong(format!(
            "--{name} is true or false, not {}",
            Name::from(value)
        )));
    }
    if name == BUMP && !value.parse().is_ok_and(|n: u64| n > 0) {
        return Err(wrong(format!(
            "--{name} is a number above 0, not {}",
            Name::from(value)
        )));
    }
    Ok(())
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(settings: &[(&str, &str)]) -> Result<Option<DataDir>, String> {
        let settings = settings
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let options = RestoreOptions {
            settings: settings.collect(),
            ..RestoreOptions::default()
        };
        DataDir::asked_for(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_become_flags() {
        assert!(asked_for(&[]).is_ok_and(|asked| asked.is_none()));
        let asked = asked_for(&[
            ("data-dir", "/d"),
            ("etcdutl-path", "/e"),
            ("name", "--n1"),
            ("bump-revision", "10"),
            ("mark-compacted", "true"),
        ]);
        let data_dir = asked.expect("valid").expect("a data directory");
        assert_eq!(data_dir.members.len(), 1);
        assert_eq!(data_dir.members[0].flags, ["--name=--n1"]);
        assert_eq!(data_dir.raise, Asked::By(10));
        assert_eq!(data_dir.tool.as_deref(), Some(Path::new("/e")));
    }

    #[test]
    fn a_cluster_is_a_directory_for_each_member() {
        let asked = asked_for(&[
            ("data-dir", "/d"),
            ("cluster", "a=http://a:1,b=http://b:1"),
            ("initial-cluster-token", "t"),
        ]);
        let data_dir = asked.expect("valid").expect("data directories");
        let paths: Vec<&Path> = data_dir.paths().collect();
        assert_eq!(paths, [Path::new("/d/a"), Path::new("/d/b")]);
        assert_eq!(
            data_dir.members[1].flags,
            [
                "--initial-cluster-token=t",
                "--name=b",
                "--initial-cluster=a=http://a:1,b=http://b:1",
                "--initial-advertise-peer-urls=http://b:1"
            ]
        );
    }

    #[test]
    fn a_log_within_the_data_directory_is_moved_aside_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let wal = data.join("log");
        std::fs::create_dir_all(&wal).expect("made");
        std::fs::write(wal.join("precious"), "x").expect("written");
        let text = |path: &Path| path.to_str().expect("a plain name").to_owned();
        let settings = [
            ("data-dir", &*text(&data)),
            ("wal-dir", &text(&wal)),
            ("replace", "true"),
        ];
        let data_dir = asked_for(&settings).expect("valid").expect("a place");
        let prepared = data_dir.prepare();
        let prepared = prepared.unwrap_or_else(|error| panic!("{error}"));
        assert!(!data.exists());
        assert_eq!(prepared.asides.len(), 1);
        drop(prepared);
        assert!(wal.join("precious").exists(), "and put back");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (settings, part) in [
            (
                &[("data-dir", "/d"), ("skip-hash-check", "true")][..],
                "not needed",
            ),
            (
                &[("data-dir", "/d"), ("nmae", "x")],
                "has no restore setting nmae",
            ),
            (&[("name", "x")], "needs --data-dir"),
            (&[("data-dir", "")], "is empty"),
            (&[("data-dir", "/d"), ("bump-revision", "10")], "together"),
            (
                &[("data-dir", "/d"), ("mark-compacted", "true")],
                "together",
            ),
            (
                &[("data-dir", "/d"), ("mark-compacted", "yes")],
                "true or false",
            ),
            (
                &[
                    ("data-dir", "/d"),
                    ("bump-revision", "7"),
                    ("mark-compacted", "true"),
                    ("no-bump-revision", "true"),
                ],
                "exclude each other",
            ),
            (
                &[
                    ("data-dir", "/d"),
                    ("cluster", "a=http://a:1"),
                    ("name", "a"),
                ],
                "--name cannot go with it",
            ),
            (&[("data-dir", "/d"), ("cluster", "a")], "is not NAME=URL"),
            (&[("cluster", "a=http://a:1")], "needs --data-dir"),
            (
                &[
                    ("data-dir", "/d"),
                    ("bump-revision", "0"),
                    ("mark-compacted", "true"),
                ],
                "above 0",
            ),
        ] {
            let error = asked_for(settings).err().expect("it is refused");
            assert!(error.contains(part), "{settings:?}: {error}");
        }
    }
}
