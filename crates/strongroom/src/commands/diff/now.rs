use std::collections::{BTreeMap, HashSet};

use anyhow::Context as _;
use archive::Name;
use format::ManifestSource;
use repository::Snapshot;
use source::etcd::{ApiServer, LiveKeys, Reach, holds_keys};
use source::kubernetes::Kubernetes;
use source::{Incomplete, Sink};

use super::merge::{Side, merge};
use super::{Change, Differences};
use crate::cli::Diff;
use crate::config::resolve::{Kind, SourceSettings};
use crate::entry::Named;
use crate::failure::Failure;
use crate::live::{Live, Present, build_present, read_while};
use crate::objects::nothing_compared;
use crate::progress::Progress;
use crate::session::Session;
use crate::sources::{etcd_of, etcd_options};
use crate::wanted::Wanted;

/// Facts that say how far apart two captures are. Others are an entry's attributes too, or follow from its content.
const TOLD: [&str; 1] = ["etcd.revision"];

/// A difference that waits until its source has been read to the end: only then it is known what could not be read.
struct Found {
    change: Change,
    name: Name,
    what: Vec<String>,
}

/// What differs now in one source.
#[derive(Default)]
struct Compared {
    found: Vec<Found>,
    facts: BTreeMap<String, String>,
}

/// Compares `snapshot` with what a backup of its job would capture now.
pub(super) async fn compare(
    session: &Session,
    snapshot: &Snapshot,
    diff: &Diff,
    differences: &mut Differences<'_>,
) -> anyhow::Result<()> {
    let mut wanted = Wanted::new(session, snapshot)?;
    if diff.inside.wanted {
        refuse_nothing(snapshot, diff)?;
        wanted.look_inside(diff.into.as_ref(), &[])?;
    }
    let undo = snapshot.job().is_undo();
    for (index, source) in snapshot.manifest().sources.iter().enumerate() {
        let settings = match wanted.live(index) {
            Ok(settings) => settings,
            Err(reason) => {
                let reason = vec![reason.to_owned()];
                let named = Named::of(source);
                differences.row(Change::Unknown, named, &Name::default(), reason)?;
                continue;
            }
        };
        let before = snapshot.entries(index).into();
        let mut compared = match &settings.kind {
            Kind::Etcd(_) if wanted.has_keys(index) => {
                let names = names(snapshot, index).await?;
                let present = Present::of(keys(settings, diff, &source.name, names, undo)?);
                read(session, before, settings, present).await?
            }
            Kind::Kubernetes(cluster) if diff.inside.wanted => {
                let names = names(snapshot, index).await?;
                let present = Present::of(Kubernetes::holding(cluster.options(), &names));
                let mut compared = read(session, before, settings, present).await?;
                let closed = source.incomplete.iter().map(|it| Incomplete {
                    name: it.name.clone(),
                    reason: it.reason.clone(),
                });
                mark_incomplete(&mut compared.found, closed.collect(), false);
                compared
            }
            _ => read(session, before, settings, build_present(settings)?).await?,
        };
        if undo {
            // It holds but what a restore replaced.
            let is_new = |found: &Found| matches!(found.change, Change::Added);
            compared.found.retain(|found| !is_new(found));
        }
        tell_facts(session, &source.name, &source.facts, &compared);
        list(Named::of(source), compared, differences)?;
    }
    for settings in wanted.added() {
        let present = build_present(settings)?;
        let compared = read(session, Side::Nothing, settings, present).await?;
        list(Named::InParts(&settings.name.value), compared, differences)?;
    }
    if undo {
        let job = snapshot.job();
        let note = format!("{job} holds what a restore replaced, and only that was compared");
        session.output.note(note);
    }
    Ok(())
}

/// Of a cluster, only what lay inside is compared. Where that is nothing, it does not matter which cluster it would be.
fn refuse_nothing(snapshot: &Snapshot, diff: &Diff) -> Result<(), Failure> {
    let mut sources = snapshot.manifest().sources.iter();
    let nothing =
        |it: &ManifestSource| it.entries == 0 && it.incomplete.is_empty() && !holds_keys(&it.facts);
    match &diff.only[..] {
        [first, ..] if sources.all(nothing) => Err(nothing_compared(snapshot, first, &diff.inside)),
        _ => Ok(()),
    }
}

/// What there is to be compared with the keys `names`: of what a restore replaced, these; otherwise all that is looked for, and nothing of
/// an API server.
fn keys(
    settings: &SourceSettings,
    diff: &Diff,
    source: &str,
    names: Vec<Name>,
    undo: bool,
) -> anyhow::Result<LiveKeys> {
    let api_server = ApiServer::new(&diff.inside.etcd_prefix);
    let options = etcd_options(etcd_of(settings)?);
    if undo {
        return Ok(LiveKeys::holding(options, api_server, names));
    }
    let said: Vec<Reach> = diff.only.iter().map(|it| it.reach(source)).collect();
    let reach = if said.is_empty() {
        vec![Reach::all()]
    } else {
        said
    };
    Ok(LiveKeys::within(options, api_server, reach))
}

/// What a source of `snapshot` holds: of a cluster, only these kinds and namespaces can be compared with what lay inside an etcd.
async fn names(snapshot: &Snapshot, index: usize) -> anyhow::Result<Vec<Name>> {
    let mut entries = snapshot.entries(index);
    let mut names = Vec::new();
    while let Some(entry) = entries.next().await? {
        names.push(entry.name);
    }
    Ok(names)
}

fn list(
    named: Named<'_>,
    compared: Compared,
    differences: &mut Differences<'_>,
) -> anyhow::Result<()> {
    for Found { change, name, what } in compared.found {
        differences.row(change, named, &name, what)?;
    }
    Ok(())
}

/// Reads a source as a backup would, and compares on the way: contents are dropped as soon as they are hashed.
async fn read(
    session: &Session,
    before: Side<'_>,
    settings: &SourceSettings,
    present: Present,
) -> anyhow::Result<Compared> {
    let source = &settings.name.value;
    let mut compared = Compared::default();
    let mut found = |change, name, what| {
        compared.found.push(Found { change, name, what });
        Ok(())
    };
    let Present { source: live, gone } = present;
    for path in gone {
        let note = format!("{source}: there is no {}", path.display());
        session.output.note(note);
    }
    let Some(live) = live else {
        merge(before, Side::Nothing, &mut found).await?;
        return Ok(compared);
    };
    let progress = Progress::new(session.output, &format!("read {source}"), None);
    let (sink, receiver) = Sink::channel();
    let after = Side::Live(Box::new(Live::new(receiver, &progress)));
    let merging = merge(before, after, &mut found);
    let (capture, ()) = read_while(live.as_ref(), sink, merging)
        .await
        .with_context(|| format!("source `{source}`"))?;
    compared.facts = capture.facts;
    let folders = matches!(settings.kind, Kind::Files(_));
    mark_incomplete(&mut compared.found, capture.incomplete, folders);
    Ok(compared)
}

/// Says of what could not be read that it is unknown, in place of what it looked like. With `folders`, what lies in one that
/// could not be read only looks removed.
fn mark_incomplete(found: &mut Vec<Found>, incomplete: Vec<Incomplete>, folders: bool) {
    if incomplete.is_empty() {
        return;
    }
    let unread: HashSet<&[u8]> = incomplete.iter().map(|one| one.name.as_bytes()).collect();
    let is_unread = |found: &Found| {
        let name = found.name.as_bytes();
        let inside = folders && matches!(found.change, Change::Removed);
        let mut slashes = (0..name.len()).filter(|at| inside && name[*at] == b'/');
        unread.contains(name) || slashes.any(|at| unread.contains(&name[..at]))
    };
    found.retain(|found| !is_unread(found));
    found.extend(incomplete.into_iter().map(|one| Found {
        change: Change::Unknown,
        name: one.name,
        what: vec![one.reason],
    }));
    found.sort_by(|one, other| one.name.cmp(&other.name));
}

/// A database may differ in its bytes though no key does: whoever reads that it differs must be able to judge.
fn tell_facts(
    session: &Session,
    source: &str,
    before: &BTreeMap<String, String>,
    compared: &Compared,
) {
    if compared.found.is_empty() {
        return;
    }
    for fact in TOLD {
        if let Some((before, now)) = before.get(fact).zip(compared.facts.get(fact)) {
            let note = format!("{source}: {fact} {before}, now {now}");
            session.output.note(note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(folders: bool) -> Vec<(char, String)> {
        let found = [
            (Change::Removed, "a/b"),
            (Change::Removed, "a/b/c"),
            (Change::Removed, "a/bc"),
            (Change::Added, "a/b/new"),
            (Change::Changed, "z"),
        ];
        let found = found.map(|(change, name)| Found {
            change,
            name: name.into(),
            what: Vec::new(),
        });
        let incomplete = ["z", "a/b", "m"].map(|name| Incomplete {
            name: name.into(),
            reason: "permission denied".to_owned(),
        });
        let mut found = Vec::from(found);
        mark_incomplete(&mut found, incomplete.into(), folders);
        let found = found.into_iter();
        found
            .map(|found| (found.change.sign(), found.name.to_string()))
            .collect()
    }

    #[test]
    fn what_could_not_be_read_is_neither_removed_nor_changed() {
        let expect = |rows: &[(char, &str)]| -> Vec<(char, String)> {
            let rows = rows.iter();
            rows.map(|(sign, name)| (*sign, (*name).to_owned()))
                .collect()
        };
        let tree = [
            ('?', "a/b"),
            ('+', "a/b/new"),
            ('-', "a/bc"),
            ('?', "m"),
            ('?', "z"),
        ];
        assert_eq!(marked(true), expect(&tree));
        let mut flat = tree.to_vec();
        flat.insert(1, ('-', "a/b/c"));
        assert_eq!(marked(false), expect(&flat));
    }
}
