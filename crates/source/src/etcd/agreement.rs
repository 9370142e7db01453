use futures::future::try_join_all;

use super::connection::within;
use super::member::{Member, Role};
use super::options::Options;
use crate::{Error, ErrorKind};

/// A compaction between two answers makes them incomparable; then they are asked again, this often.
const ATTEMPTS: usize = 5;
/// etcd's words for a revision that was compacted meanwhile.
const COMPACTED: &str = "compacted";

/// What members that hold the same data agreed on.
pub(super) struct Agreement {
    pub(super) members: usize,
    pub(super) revision: i64,
    pub(super) hash: u32,
}

/// Compares the hashes of all keys of the members, at one revision. `None`, with a note, if there is nobody to compare with.
///
/// An error if they differ, unless `member` says which one is to be captured all the same. Each member reads all of its keys for this.
pub(super) async fn agree(
    members: &mut [Member],
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Option<Agreement>, Error> {
    let mut compared: Vec<&mut Member> = members
        .iter_mut()
        .filter(|member| member.standing.role != Role::Learner)
        .collect();
    if compared.len() < 2 {
        notes.push("the members' hashes were not compared: fewer than two answer".to_owned());
        return Ok(None);
    }
    for _ in 0..ATTEMPTS {
        let Some((revision, hashes)) = hashes(&mut compared, options).await? else {
            continue;
        };
        let hash = hashes[0];
        if hashes.iter().all(|other| *other == hash) {
            return Ok(Some(Agreement {
                members: hashes.len(),
                revision,
                hash,
            }));
        }
        let message = differ(&compared, revision, &hashes);
        if options.member.is_none() {
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        notes.push(message);
        return Ok(None);
    }
    notes.push(
        "the members' hashes were not compared: etcd compacted its history each time".to_owned(),
    );
    Ok(None)
}

/// A revision that all have, and their hashes at it; `None` if a compaction came between.
async fn hashes(
    members: &mut [&mut Member],
    options: &Options,
) -> Result<Option<(i64, Vec<u32>)>, Error> {
    let proofs = members.iter_mut().map(|member| member.prove(options));
    let proofs = try_join_all(proofs).await?;
    let revision = proofs.iter().map(|proof| proof.revision).min();
    let revision = revision.unwrap_or_default();
    let limit = options.timeouts.idle;
    let answers = members.iter_mut().map(async |member| {
        let asked = member.client.hash_kv(revision);
        match within(limit, &member.endpoint, asked).await {
            Ok(answer) => Ok(Some((answer.compact_version(), answer.hash()))),
            Err(error) if error.to_string().contains(COMPACTED) => Ok(None),
            Err(error) => Err(error),
        }
    });
    let answers: Option<Vec<(i64, u32)>> = try_join_all(answers).await?.into_iter().collect();
    let Some(answers) = answers.filter(|all| all.iter().all(|it| it.0 == all[0].0)) else {
        return Ok(None);
    };
    let hashes = answers.into_iter().map(|(_, hash)| hash).collect();
    Ok(Some((revision, hashes)))
}

fn differ(members: &[&mut Member], revision: i64, hashes: &[u32]) -> String {
    let each = members.iter().zip(hashes);
    let each: Vec<String> = each
        .map(|(member, hash)| format!("{} has {hash:08x}", member.endpoint))
        .collect();
    format!(
        "the members of etcd do not hold the same at revision {revision}, so one of them is corrupt: {}; \
         say `member` to capture one of them in spite of that",
        each.join(", ")
    )
}
