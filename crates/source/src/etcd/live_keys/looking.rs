//! Keys as they are now: some by name, or all of a range, page by page.

use archive::Name;
use etcd_client::{GetOptions, KeyValue, ResponseHeader, Txn, TxnOp, TxnOpResponse};
use zeroize::Zeroizing;

use super::reach::Range;
use super::refusal::Refusal;
use super::server::{Failure, Server};
use crate::{Error, ErrorKind};

/// A longer answer is asked for in parts.
const ANSWER_MAX: usize = 64 << 20;
/// So many keys are asked for at once: etcd takes no more operations in one transaction, unless it is told otherwise.
pub(super) const AT_ONCE: usize = 128;
/// The first page of a range has so many keys, for nobody knows how large their values are.
const FIRST_PAGE: i64 = 16;
/// A page has at most so many.
const PAGE_MAX: i64 = 1_000;
/// A page with fewer bytes is followed by one with more keys.
const PAGE_BYTES: usize = 256 << 10;

/// Where a range may not be read.
const NEEDS: &str =
    "a role of theirs needs the right read on all of them, or --only FOLDER/ asks for fewer";

/// A key as it is now.
pub(super) struct Now {
    pub(super) key: Vec<u8>,
    pub(super) value: Zeroizing<Vec<u8>>,
    /// 0: none.
    pub(super) lease: i64,
    /// The revision in which it was written.
    pub(super) revision: u64,
}

impl Now {
    fn new(pair: KeyValue) -> Self {
        let (lease, revision) = (pair.lease(), pair.mod_revision());
        let (key, value) = pair.into_key_value();
        Self {
            key,
            value: Zeroizing::new(value),
            lease,
            revision: revision.cast_unsigned(),
        }
    }
}

/// Looks up `keys`, ascending, in their order; `None`: it is not there.
pub(super) async fn look_up(
    server: &mut Server<'_>,
    keys: &[&[u8]],
) -> Result<Vec<Option<Now>>, Error> {
    let mut found = Vec::with_capacity(keys.len());
    let mut parts = vec![keys];
    while let Some(part) = parts.pop() {
        match some(server, part).await {
            Ok(some) => found.extend(some),
            // One of them is at fault, or there are too many.
            Err(Failure::Refused(_)) if part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            Err(Failure::Refused(Refusal::Denied)) => {
                return Err(may_not_read(server, part[0], keys));
            }
            Err(Failure::Refused(refusal)) => {
                return Err(cannot_read(server, &Name::new(part[0]), refusal));
            }
            Err(Failure::Broken(error)) => return Err(error),
        }
    }
    Ok(found)
}

async fn some(server: &mut Server<'_>, keys: &[&[u8]]) -> Result<Vec<Option<Now>>, Failure> {
    let gets: Vec<TxnOp> = keys.iter().map(|key| TxnOp::get(*key, None)).collect();
    let txn = Txn::new().and_then(gets);
    let answer = server
        .insist(|client| {
            let txn = txn.clone();
            let mut client = client.kv_client().max_decoding_message_size(ANSWER_MAX);
            async move { client.txn(txn).await }
        })
        .await?;
    let found = answer
        .op_responses()
        .into_iter()
        .map(|answer| match answer {
            TxnOpResponse::Get(mut get) => Some(get.take_kvs().pop().map(Now::new)),
            _ => None,
        });
    let found: Option<Vec<_>> = found.collect();
    let found = found.filter(|found| found.len() == keys.len());
    Ok(found.ok_or_else(|| server.nonsense())?)
}

fn may_not_read(server: &Server<'_>, key: &[u8], keys: &[&[u8]]) -> Error {
    let (endpoint, user) = (server.endpoint(), server.user());
    let key = Name::new(key);
    let range = match keys {
        [first, .., last] => format!("the keys {} to {}", Name::new(*first), Name::new(*last)),
        _ => "it".to_owned(),
    };
    let message = format!(
        "etcd at {endpoint} does not let {user} read the key {key}: a restore needs a role with the right readwrite on {range} \
         (etcdctl role grant-permission ROLE readwrite KEY END)"
    );
    Error::new(ErrorKind::Denied, message)
}

fn cannot_read(server: &Server<'_>, key: &Name, refusal: Refusal) -> Error {
    let (kind, why) = match refusal {
        Refusal::TooLong => (
            ErrorKind::Unsupported,
            format!("it has more than {} MiB", ANSWER_MAX >> 20),
        ),
        other => (ErrorKind::Invalid, other.clause().to_owned()),
    };
    let endpoint = server.endpoint();
    let message = format!("etcd at {endpoint} cannot be asked for the key {key}: {why}");
    Error::new(kind, message)
}

/// All keys from one on, up to another, in pages that are as long as their values are small.
pub(super) struct Pages {
    /// `None`: there are no more.
    from: Option<Vec<u8>>,
    /// The first that is not meant; a zero byte: there is none; nothing: one key is meant.
    end: Vec<u8>,
    limit: i64,
    /// The revision of the last page.
    pub(super) revision: i64,
}

impl Pages {
    pub(super) fn new((from, end): Range) -> Self {
        Self {
            from: Some(from),
            end,
            limit: FIRST_PAGE,
            revision: 0,
        }
    }

    /// The next keys, ascending; none after the last.
    pub(super) async fn next(&mut self, server: &mut Server<'_>) -> Result<Vec<Now>, Error> {
        while let Some(from) = self.from.clone() {
            let asked = self.ask(server, &from).await;
            match asked {
                Ok(page) => return Ok(page),
                Err(Failure::Refused(Refusal::TooLong)) if self.limit > 1 => self.limit /= 2,
                Err(Failure::Refused(Refusal::Denied)) => {
                    return Err(self.may_not_read(server, &from));
                }
                Err(Failure::Refused(refusal)) => {
                    return Err(cannot_read(server, &Name::new(from), refusal));
                }
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        Ok(Vec::new())
    }

    async fn ask(&mut self, server: &mut Server<'_>, from: &[u8]) -> Result<Vec<Now>, Failure> {
        let options = GetOptions::new()
            .with_range(self.end.clone())
            .with_limit(self.limit);
        let mut answer = server
            .insist(|client| {
                let (from, options) = (from.to_vec(), options.clone());
                let mut client = client.kv_client().max_decoding_message_size(ANSWER_MAX);
                async move { client.get(from, Some(options)).await }
            })
            .await?;
        self.revision = answer.header().map_or(0, ResponseHeader::revision);
        let more = answer.more();
        let page: Vec<Now> = answer.take_kvs().into_iter().map(Now::new).collect();
        let bytes: usize = page.iter().map(|now| now.key.len() + now.value.len()).sum();
        if bytes < PAGE_BYTES {
            self.limit = (self.limit * 2).min(PAGE_MAX);
        }
        self.from = page.last().filter(|_| more).map(|last| {
            let mut next = last.key.clone();
            next.push(0);
            next
        });
        Ok(page)
    }

    fn may_not_read(&self, server: &Server<'_>, from: &[u8]) -> Error {
        let (endpoint, user) = (server.endpoint(), server.user());
        let from = Name::new(from);
        let which = match self.end[..] {
            [] => format!("key {from}: a role of theirs needs the right read on it"),
            [0] => format!("keys from {from} on: {NEEDS}"),
            ref end => format!("keys from {from} up to {}: {NEEDS}", Name::new(end)),
        };
        let message = format!("etcd at {endpoint} does not let {user} read the {which}");
        Error::new(ErrorKind::Denied, message)
    }
}
