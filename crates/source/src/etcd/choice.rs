use std::collections::HashSet;
use std::time::Duration;

use archive::Name;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout_at};

use super::agreement::{Agreement, agree};
use super::connection::{Credentials, within};
use super::member::{Member, Role, Standing};
use super::options::Options;
use crate::said::words;
use crate::{Error, ErrorKind};

/// Once a member that can be captured has answered, the others get this long.
const STRAGGLERS: Duration = Duration::from_secs(3);
/// An endpoint of a member is asked alone for so long.
const HEAD_START: Duration = Duration::from_millis(500);
/// Entries of the log that a member may be behind the others and still be as good as they are: so many are on their way under load.
const LAG: u64 = 1_000;
/// So many endpoints that members advertise are believed.
const ADVERTISED_MAX: usize = 64;
/// So many of one of them.
const ADDRESSES_MAX: usize = 8;

/// The members that can be captured, the best first.
pub(super) struct Choice {
    pub(super) members: Vec<Member>,
    /// Why the others cannot.
    pub(super) refusals: Vec<Error>,
    /// What whoever takes backups should know.
    pub(super) notes: Vec<String>,
    /// What the members' hashes came to, if they were to be compared.
    pub(super) agreement: Option<Agreement>,
}

/// Asks all endpoints at once, and chooses.
///
/// An error if no member can be captured, if the endpoints lead to different clusters, or if members that were to be compared differ.
pub(super) async fn choose(options: &Options) -> Result<Choice, Error> {
    options.validate()?;
    let credentials = Credentials::default();
    let given = options.endpoints.iter();
    let given: Vec<Vec<String>> = given.map(|endpoint| vec![endpoint.clone()]).collect();
    let (mut members, mut refusals) = survey(&given, options, &credentials).await?;
    let mut notes = Vec::new();
    if options.advertised {
        let others = advertised(&mut members, options).await?;
        let (found, silent) = survey(&others, options, &credentials).await?;
        members.extend(found);
        refusals.extend(silent);
    }
    same_cluster(&members)?;
    let mut known = HashSet::new();
    members.retain(|member| known.insert(member.id));
    let agreement = if options.compare_hashes {
        agree(&mut members, options, &mut notes).await?
    } else {
        None
    };
    let mut members = match &options.member {
        Some(wanted) => vec![forced(wanted, members, &mut refusals, options, &mut notes).await?],
        None => fit(members, &mut refusals, &mut notes),
    };
    if members.is_empty() {
        return Err(none_is_fit(refusals, "no etcd endpoint can be used"));
    }
    rank(&mut members);
    if members[0].standing.full {
        let endpoint = &members[0].endpoint;
        notes.push(format!(
            "etcd at {endpoint} has raised the alarm NOSPACE: the cluster takes no writes until there is room"
        ));
    }
    Ok(Choice {
        members,
        refusals,
        notes,
        agreement,
    })
}

/// The members at these places, each of which has one or several endpoints, in their order, and what became of the others.
async fn survey(
    places: &[Vec<String>],
    options: &Options,
    credentials: &Credentials,
) -> Result<(Vec<Member>, Vec<Error>), Error> {
    let asking = places
        .iter()
        .enumerate()
        .map(async |(at, endpoints)| (at, reach(endpoints, options, credentials).await));
    let mut asking: FuturesUnordered<_> = asking.collect();
    let mut answers: Vec<Option<Result<Member, Error>>> = places.iter().map(|_| None).collect();
    // Whoever asks for one member, or for all, waits for it.
    let waits = options.member.is_some() || options.compare_hashes;
    let mut until = None;
    loop {
        let next = match until {
            None => asking.next().await,
            Some(until) => timeout_at(until, asking.next()).await.unwrap_or(None),
        };
        let Some((at, answer)) = next else { break };
        if until.is_none() && !waits && answer.as_ref().is_ok_and(|it| it.unfit().is_none()) {
            until = Some(Instant::now() + STRAGGLERS);
        }
        answers[at] = Some(answer);
    }
    let (mut members, mut refusals) = (Vec::new(), Vec::new());
    for (endpoints, answer) in places.iter().zip(answers) {
        match answer {
            Some(Ok(member)) => members.push(member),
            Some(Err(error)) if error.kind() == ErrorKind::Configuration => return Err(error),
            Some(Err(error)) => refusals.push(error),
            None => refusals.push(late(endpoints)),
        }
    }
    Ok((members, refusals))
}

/// The member at whichever of its endpoints answers first. The next one is asked when the one before it has had its time, and no answer is
/// worse than any: a host has addresses that lead nowhere from here.
async fn reach(
    endpoints: &[String],
    options: &Options,
    credentials: &Credentials,
) -> Result<Member, Error> {
    let asking = endpoints.iter().zip(0..).map(async |(endpoint, before)| {
        sleep(HEAD_START * before).await;
        Member::reach(endpoint, options, credentials).await
    });
    let mut asking: FuturesUnordered<_> = asking.collect();
    let mut refusals = Vec::new();
    while let Some(answer) = asking.next().await {
        match answer {
            Ok(member) => return Ok(member),
            Err(error) => refusals.push(error),
        }
    }
    Err(none_is_fit(
        refusals,
        "an etcd member is at none of its addresses",
    ))
}

fn late(endpoints: &[String]) -> Error {
    let endpoint = Name::from(endpoints.first().map_or("", String::as_str));
    let message = format!(
        "etcd at {endpoint} did not answer within {} s of another member",
        STRAGGLERS.as_secs()
    );
    Error::new(ErrorKind::Unreachable, message)
}

/// Where the members say that clients find them, as far as nobody has been asked there.
async fn advertised(members: &mut [Member], options: &Options) -> Result<Vec<Vec<String>>, Error> {
    let Some(member) = members.first_mut() else {
        return Ok(Vec::new());
    };
    let limit = options.timeouts.request;
    let list = within(limit, &member.endpoint, member.client.member_list()).await?;
    let known: HashSet<u64> = members.iter().map(|member| member.id).collect();
    let others = list.members().iter();
    let others = others.filter(|other| !known.contains(&other.id()) && !other.is_learner());
    let places = others.map(|other| {
        other
            .client_urls()
            .iter()
            .take(ADDRESSES_MAX)
            .cloned()
            .collect()
    });
    let places = places.filter(|urls: &Vec<String>| !urls.is_empty());
    let places: Vec<Vec<String>> = places.take(ADVERTISED_MAX).collect();
    let mut urls = places.iter().flatten();
    urls.try_for_each(|url| options.validate_endpoint(url))?;
    Ok(places)
}

fn same_cluster(members: &[Member]) -> Result<(), Error> {
    let Some(first) = members.first() else {
        return Ok(());
    };
    let Some(other) = members.iter().find(|it| it.cluster != first.cluster) else {
        return Ok(());
    };
    let message = format!(
        "the etcd endpoints {} and {} lead to different clusters ({:x} and {:x}): a source is one cluster",
        first.endpoint, other.endpoint, first.cluster, other.cluster
    );
    Err(Error::new(ErrorKind::Configuration, message))
}

/// The one that was asked for by name or ID. It is captured although it has raised the alarm CORRUPT: that is what asking for it is for.
async fn forced(
    wanted: &str,
    mut members: Vec<Member>,
    refusals: &mut Vec<Error>,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Member, Error> {
    let names = names(&mut members, options).await?;
    let id = names.iter().find(|(_, name)| name == wanted);
    let id = id
        .map(|(id, _)| *id)
        .or_else(|| u64::from_str_radix(wanted, 16).ok());
    let Some(at) = members.iter().position(|member| Some(member.id) == id) else {
        return Err(not_there(wanted, &members, &names, refusals));
    };
    let member = members.swap_remove(at);
    if member.standing.corrupt {
        notes.push(format!(
            "etcd at {} has raised the alarm CORRUPT, and was captured because `member` says so",
            member.endpoint
        ));
        return Ok(member);
    }
    member.unfit().map_or(Ok(member), Err)
}

/// All members of the cluster, by ID.
async fn names(members: &mut [Member], options: &Options) -> Result<Vec<(u64, String)>, Error> {
    let Some(member) = members.first_mut() else {
        return Ok(Vec::new());
    };
    let limit = options.timeouts.request;
    let list = within(limit, &member.endpoint, member.client.member_list()).await?;
    let list = list.members().iter();
    Ok(list
        .map(|member| (member.id(), member.name().to_owned()))
        .collect())
}

fn not_there(
    wanted: &str,
    members: &[Member],
    names: &[(u64, String)],
    refusals: &mut Vec<Error>,
) -> Error {
    if members.is_empty() {
        return none_is_fit(std::mem::take(refusals), "no etcd endpoint can be used");
    }
    let name = |id| names.iter().find(|(known, _)| *known == id);
    let found = members.iter().map(|member| {
        let name = name(member.id).map_or("", |(_, name)| name);
        format!("{} ({:x}) at {}", words(name), member.id, member.endpoint)
    });
    let found: Vec<String> = found.collect();
    let mut said = vec![format!(
        "the etcd member {} is behind none of the endpoints that answer: there are {}",
        Name::from(wanted),
        found.join(", ")
    )];
    said.extend(refusals.iter().map(ToString::to_string));
    let message = said.join("; ");
    let kind = if refusals.is_empty() {
        ErrorKind::Configuration
    } else {
        ErrorKind::Unreachable
    };
    Error::new(kind, message)
}

/// Those that can be captured; the others are refusals. Who is missing is worth a note, for nobody else may notice.
fn fit(members: Vec<Member>, refusals: &mut Vec<Error>, notes: &mut Vec<String>) -> Vec<Member> {
    notes.extend(refusals.iter().map(ToString::to_string));
    let mut fit = Vec::new();
    for member in members {
        match member.unfit() {
            None => fit.push(member),
            Some(refusal) => {
                if member.standing.role != Role::Learner {
                    notes.push(refusal.to_string());
                }
                refusals.push(refusal);
            }
        }
    }
    fit
}

/// The best first; of equals, the one whose endpoint was given first.
fn rank(members: &mut [Member]) {
    let ahead = members.iter().map(|it| it.standing.committed);
    let ahead = ahead.max().unwrap_or_default();
    members.sort_by_key(|member| member.standing.rank(ahead));
}

impl Standing {
    /// The less, the better: one that knows no leader can hardly prove anything; what lags has to catch up first; one that is out of space
    /// has other worries; and whoever leads has the most to do.
    fn rank(&self, ahead: u64) -> (bool, bool, bool, bool) {
        let lags = ahead.saturating_sub(self.applied) > LAG;
        (
            self.role == Role::Lost,
            lags,
            self.full,
            self.role == Role::Leader,
        )
    }
}

/// One error for all.
pub(super) fn none_is_fit(mut refusals: Vec<Error>, what: &str) -> Error {
    if refusals.len() == 1 {
        return refusals.remove(0);
    }
    let reasons: Vec<String> = refusals.iter().map(with_cause).collect();
    let message = format!("{what}: {}", reasons.join("; "));
    Error::new(common_kind(&refusals), message)
}

/// What they have in common. A refusal says more than that somebody else was not there.
fn common_kind(errors: &[Error]) -> ErrorKind {
    let mut kinds: Vec<ErrorKind> = errors.iter().map(Error::kind).collect();
    if kinds.contains(&ErrorKind::Denied) {
        kinds.retain(|kind| *kind != ErrorKind::Unreachable);
    }
    match kinds.split_first() {
        Some((kind, others)) if others.iter().all(|other| other == kind) => *kind,
        _ => ErrorKind::Unreachable,
    }
}

/// The error with what led to it, in one line.
fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_more_than_that_others_are_not_there() {
        use ErrorKind::{Denied, Invalid, Unreachable};
        for (kinds, common) in [
            (&[][..], Unreachable),
            (&[Denied, Unreachable], Denied),
            (&[Unreachable, Unreachable], Unreachable),
            (&[Invalid, Invalid], Invalid),
            (&[Invalid, Denied], Unreachable),
            (&[Invalid, Unreachable], Unreachable),
        ] {
            let errors = kinds.iter().map(|kind| Error::new(*kind, ""));
            let errors: Vec<Error> = errors.collect();
            assert_eq!(common_kind(&errors), common, "{kinds:?}");
        }
    }

    #[test]
    fn followers_go_before_the_leader_and_the_sick_go_last() {
        let follower = Standing {
            committed: 5_000,
            applied: 5_000,
            ..Standing::default()
        };
        let order = [
            follower.clone(),
            Standing {
                role: Role::Leader,
                ..follower.clone()
            },
            Standing {
                full: true,
                ..follower.clone()
            },
            Standing {
                applied: 3_000,
                committed: 3_000,
                ..follower.clone()
            },
            Standing {
                role: Role::Lost,
                ..follower.clone()
            },
        ];
        let ranks: Vec<_> = order.iter().map(|it| it.rank(5_000)).collect();
        assert!(
            ranks.is_sorted_by(|before, after| before < after),
            "{ranks:?}"
        );
        // What is on its way is no lag.
        let close = Standing {
            applied: 4_900,
            ..follower.clone()
        };
        assert_eq!(close.rank(5_000), follower.rank(5_000));
    }
}
