use std::time::Duration;

use archive::{Attributes, Content, Header, Name};
use bytes::BytesMut;
use etcd_client::{SnapshotResponse, SnapshotStreaming};
use tokio::time::timeout;

use super::agreement::Agreement;
use super::choice::{Choice, choose, none_is_fit};
use super::connection::{Credentials, within};
use super::database::Database;
use super::member::{Member, Proof};
use super::options::Options;
use super::refusal::explain;
use super::snapshot::{Summary, Verifier};
use super::stream::Progress;
use super::{ENTRY, KUBERNETES, VERSION, damaged};
use crate::bolt::{META_BYTES, Unit};
use crate::said::words;
use crate::{Capture, Contents, Error, ErrorKind, Sink, SinkClosed};

/// etcd sends 32 KiB at a time; this much is handed on at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Pours the snapshot of the best member. The entry is completed only when its hash, length and meta pages are right; if it cannot be, the
/// next member is tried.
pub(super) async fn read(options: &Options, sink: &mut Sink) -> Result<Capture, Error> {
    let Choice {
        members,
        refusals,
        mut notes,
        agreement,
    } = choose(options).await?;
    let (mut failures, mut left) = (Vec::new(), members.len());
    for member in members {
        left -= 1;
        let turn = Turn {
            // What the choice knew of it is old by now, and so is its login.
            renew: !failures.is_empty(),
            last: left == 0 || options.single_attempt,
        };
        match attempt(member, turn, options, sink).await {
            Ok(mut capture) => {
                if let Some(agreement) = &agreement {
                    capture.facts.extend(facts_of_agreement(agreement));
                }
                notes.extend(failures.iter().map(ToString::to_string));
                notes.append(&mut capture.notes);
                capture.notes = notes;
                return Ok(capture);
            }
            Err(error) if options.single_attempt || is_final(&error) => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    failures.extend(refusals);
    Err(none_is_fit(
        failures,
        "no etcd member gave a whole snapshot",
    ))
}

/// Whether another member would fail in the same way.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Configuration | ErrorKind::Bug)
}

/// When it is a member's turn.
struct Turn {
    /// Others were tried before it.
    renew: bool,
    /// Nobody is left to be tried after it.
    last: bool,
}

/// Pours one member's snapshot, or gives the entry up again.
async fn attempt(
    mut member: Member,
    turn: Turn,
    options: &Options,
    sink: &mut Sink,
) -> Result<Capture, Error> {
    if turn.renew {
        member = Member::reach(&member.address, options, &Credentials::default()).await?;
        if let Some(unfit) = member.unfit().filter(|_| options.member.is_none()) {
            return Err(unfit);
        }
    }
    let proof = member.prove(options).await?;
    let mut download = Download::start(&mut member, options).await?;
    sink.begin(header(&member, proof)).await?;
    let poured = pour(&mut download, sink).await.and_then(|poured| {
        let stale = stale(proof.revision, poured.0.revision());
        // What is damaged is better than nothing, and worse than what another member may have.
        let damage = poured.0.damage().filter(|_| !turn.last);
        let flaw = stale.or(damage);
        flaw.map_or(Ok(poured), |why| Err(download.invalid(&why)))
    });
    match poured {
        Ok((summary, storage_version)) => {
            sink.end().await?;
            Ok(Capture {
                facts: facts(&member, proof, &storage_version, &summary),
                notes: note_of_damage(&summary).into_iter().collect(),
                ..Capture::default()
            })
        }
        Err(error) => {
            if !options.single_attempt && !is_final(&error) {
                sink.give_up().await?;
            }
            Err(error)
        }
    }
}

/// What whoever takes the backup should know and do, if the database was damaged in the member.
fn note_of_damage(summary: &Summary) -> Option<String> {
    let damage = summary.damage().map(damaged)?;
    Some(format!("{damage}; no other endpoint gave a sound one"))
}

/// Why a file of revision `captured` is not what the member had when it was read, a clause about it; `None` if it is. A member that was put back or
/// exchanged in between has less.
fn stale(read: i64, captured: Option<u64>) -> Option<String> {
    let captured = captured.filter(|captured| *captured < read.unsigned_abs())?;
    Some(format!(
        "its revision is {captured}, and the member had {read} before"
    ))
}

fn header(member: &Member, proof: Proof) -> Header {
    let kubernetes = yes_or_no(proof.kubernetes);
    let attributes = [
        (VERSION, member.version.as_bytes()),
        (KUBERNETES, kubernetes.as_bytes()),
    ];
    Header {
        name: Name::from(ENTRY),
        attributes: Attributes::from_iter(attributes),
        fields: None,
    }
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// The whole stream; what it came to, and the storage version that it names.
async fn pour(download: &mut Download, sink: &mut Sink) -> Result<(Summary, String), Error> {
    let mut pieces = Pieces::default();
    let mut storage_version = String::new();
    while let Some(message) = download.next().await? {
        pieces.push(message.blob(), sink).await?;
        if storage_version.is_empty() {
            message.version().clone_into(&mut storage_version);
        }
    }
    let summary = pieces.finish(sink).await?;
    let summary = summary.map_err(|fault| download.invalid(&fault.to_string()))?;
    Ok((summary, storage_version))
}

/// Pours a snapshot that was taken before and kept elsewhere: the current entry of `contents`, cut and completed as a capture would be.
///
/// The entry is completed only when its hash, length and meta pages are right; otherwise the error is of the kind `Invalid`.
pub async fn pour_saved(contents: &mut dyn Contents, sink: &mut Sink) -> Result<Capture, Error> {
    sink.begin(Header {
        name: Name::from(ENTRY),
        attributes: Attributes::default(),
        fields: None,
    })
    .await?;
    let mut pieces = Pieces::default();
    while let Some(content) = contents.data().await? {
        pieces.push(content.as_bytes(), sink).await?;
    }
    let summary = pieces.finish(sink).await?.map_err(|fault| {
        let message = format!("the saved etcd snapshot is not whole: {fault}");
        Error::new(ErrorKind::Invalid, message)
    })?;
    sink.end().await?;
    Ok(Capture {
        facts: facts_of_file(&summary)
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        notes: summary.damage().map(damaged).into_iter().collect(),
        ..Capture::default()
    })
}

/// What is known of a file without asking a server.
fn facts_of_file(summary: &Summary) -> impl Iterator<Item = (&'static str, String)> {
    let database = summary.database();
    let compacted = database.and_then(|database| database.compaction().finished);
    let status = database.and_then(Database::hash);
    let facts = [
        (
            "etcd.database-bytes",
            Some(summary.database_bytes.to_string()),
        ),
        ("etcd.sha256", Some(hex::encode(summary.hash))),
        ("etcd.revision", summary.revision().map(|it| it.to_string())),
        ("etcd.compacted", compacted.map(|it| it.to_string())),
        ("etcd.hash", status.map(|it| format!("{it:x}"))),
    ];
    facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}

fn facts_of_agreement(agreement: &Agreement) -> [(String, String); 3] {
    [
        ("etcd.hash-kv", format!("{:08x}", agreement.hash)),
        ("etcd.hash-kv-revision", agreement.revision.to_string()),
        ("etcd.hash-kv-members", agreement.members.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

fn facts(
    member: &Member,
    proof: Proof,
    storage_version: &str,
    summary: &Summary,
) -> std::collections::BTreeMap<String, String> {
    let mut facts = vec![
        ("etcd.version", words(&member.version).to_string()),
        ("etcd.cluster", format!("{:x}", member.cluster)),
        ("etcd.member", format!("{:x}", member.id)),
        ("etcd.revision", proof.revision.to_string()),
        (KUBERNETES, yes_or_no(proof.kubernetes).to_owned()),
    ];
    facts.extend(facts_of_file(summary));
    if !storage_version.is_empty() {
        facts.push(("etcd.storage-version", words(storage_version).to_string()));
    }
    facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The messages of a snapshot stream, each judged before it is handed out.
struct Download {
    messages: SnapshotStreaming,
    endpoint: Name,
    idle: Duration,
    progress: Progress,
}

impl Download {
    async fn start(member: &mut Member, options: &Options) -> Result<Self, Error> {
        let idle = options.timeouts.idle;
        Ok(Self {
            messages: within(idle, &member.endpoint, member.client.snapshot()).await?,
            endpoint: member.endpoint.clone(),
            idle,
            progress: Progress::default(),
        })
    }

    /// The next message; `None` when the stream has ended as it must.
    async fn next(&mut self) -> Result<Option<SnapshotResponse>, Error> {
        let Ok(answer) = timeout(self.idle, self.messages.message()).await else {
            let message = format!(
                "the snapshot of etcd at {} stalled: {}, then nothing for {} s",
                self.endpoint,
                self.progress.cut(),
                self.idle.as_secs_f64()
            );
            return Err(Error::new(ErrorKind::Unreachable, message));
        };
        let message = answer.map_err(|failure| {
            let cause = explain(&self.endpoint, &failure);
            let message = format!(
                "the snapshot of etcd at {} failed: {}",
                self.endpoint,
                self.progress.cut()
            );
            Error::new(cause.kind(), message).because(cause)
        })?;
        let verdict = match &message {
            Some(message) => self
                .progress
                .message(message.blob().len(), message.remaining_bytes()),
            None => self.progress.end(),
        };
        verdict.map_err(|fault| self.invalid(&fault.to_string()))?;
        Ok(message)
    }

    fn invalid(&self, why: &str) -> Error {
        let message = format!(
            "the snapshot of etcd at {} is not whole: {why}",
            self.endpoint
        );
        Error::new(ErrorKind::Invalid, message)
    }
}

/// Gathers messages to pieces and cuts those at Bolt's units, each announced before its bytes.
struct Pieces {
    verifier: Verifier,
    waiting: BytesMut,
    /// Where in the file `waiting` starts, and how much of it the verifier has seen.
    start: u64,
    seen: usize,
    units: Vec<Unit>,
}

impl Default for Pieces {
    fn default() -> Self {
        Self {
            verifier: Verifier::thorough(),
            waiting: BytesMut::new(),
            start: 0,
            seen: 0,
            units: Vec::new(),
        }
    }
}

impl Pieces {
    async fn push(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), SinkClosed> {
        if self.waiting.capacity() - self.waiting.len() < bytes.len() {
            self.waiting.reserve(PIECE_BYTES + META_BYTES + bytes.len());
        }
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE_BYTES {
            self.flush(sink).await
        } else {
            Ok(())
        }
    }

    /// Sends what is waiting, except for the first bytes of a unit whose length they do not tell yet.
    async fn flush(&mut self, sink: &mut Sink) -> Result<(), SinkClosed> {
        self.units
            .extend_from_slice(self.verifier.feed(&self.waiting[self.seen..]));
        self.seen = self.waiting.len();
        let ready = match self.verifier.known() {
            Some(known) => usize::try_from(known - self.start)
                .unwrap_or(usize::MAX)
                .min(self.seen),
            None => self.seen,
        };
        self.send(ready, sink).await
    }

    async fn send(&mut self, bytes: usize, sink: &mut Sink) -> Result<(), SinkClosed> {
        for unit in self.units.drain(..) {
            sink.unit(unit.length).await?;
        }
        let piece = self.waiting.split_to(bytes).freeze();
        self.start += bytes as u64;
        self.seen -= bytes;
        if piece.is_empty() {
            Ok(())
        } else {
            sink.data(Content::new(piece)).await
        }
    }

    /// Sends the rest and judges the whole.
    async fn finish(
        mut self,
        sink: &mut Sink,
    ) -> Result<Result<Summary, super::snapshot::Fault>, SinkClosed> {
        self.flush(sink).await?;
        let rest = self.waiting.len();
        self.send(rest, sink).await?;
        Ok(self.verifier.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_older_than_what_was_read_is_stale() {
        let why = "its revision is 6, and the member had 7 before";
        assert_eq!(stale(7, Some(6)).as_deref(), Some(why));
        for captured in [Some(7), Some(8), None] {
            assert_eq!(stale(7, captured), None, "{captured:?}");
        }
    }
}
