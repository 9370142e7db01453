//! The keys of an etcd that runs: compared with captured ones, written one by one, and read as entries of their own.
//!
//! Read in this order: what is asked for, who answers, how keys are looked up, compared, and written.

mod leases;
mod looking;
mod planning;
mod reach;
mod refusal;
mod server;
mod wishes;
mod writing;

use std::collections::{BTreeMap, BTreeSet};

use archive::{Content, Header, Name};
use async_trait::async_trait;

use super::ApiServer;
use super::lease::Attached;
use super::options::Options;
use crate::{
    Capture, Contents, Entries, Error, Finding, Plan, Report, RestoreOptions, Sink, Source,
};
use looking::{AT_ONCE, Now, Pages, look_up};
pub use reach::Reach;
use server::Server;
use wishes::Wishes;

/// The fact of a capture that says what its entries are; without it there is one, the file of a snapshot.
const HOLDS: &str = "etcd.holds";
const KEYS: &str = "keys";
/// The fact that says where keys were read.
pub const ENDPOINTS: &str = "etcd.endpoints";

/// Whether what was captured with these facts is keys, each an entry, and not the file of a snapshot.
pub fn holds_keys(facts: &BTreeMap<String, String>) -> bool {
    facts.get(HOLDS).is_some_and(|holds| holds == KEYS)
}

/// What every capture of keys says.
pub(super) fn facts(revision: u64) -> BTreeMap<String, String> {
    let facts = [
        (HOLDS, KEYS.to_owned()),
        ("etcd.revision", revision.to_string()),
    ];
    let facts = facts.into_iter();
    facts
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Keys of an etcd that runs. Reads those that were chosen, and writes any.
pub struct LiveKeys {
    options: Options,
    api_server: ApiServer,
    chosen: Chosen,
}

/// Which keys are read.
enum Chosen {
    /// These, as far as they are there.
    Names(BTreeSet<Name>),
    /// These, ascending, and none twice.
    Within(Vec<Reach>),
}

impl LiveKeys {
    /// The keys `names` of the etcd of `options`. Nothing is connected yet.
    pub fn holding(
        options: Options,
        api_server: ApiServer,
        names: impl IntoIterator<Item = Name>,
    ) -> Self {
        let names = names.into_iter().collect();
        Self::new(options, api_server, Chosen::Names(names))
    }

    /// The keys within one of `reach`; of the API server's only those within one that names nothing else.
    pub fn within(options: Options, api_server: ApiServer, reach: Vec<Reach>) -> Self {
        let reach = Reach::each_once(reach);
        Self::new(options, api_server, Chosen::Within(reach))
    }

    fn new(options: Options, api_server: ApiServer, chosen: Chosen) -> Self {
        // Which member is captured, and whether all are equal, is about snapshots.
        let options = Options {
            member: None,
            compare_hashes: false,
            ..options
        };
        Self {
            options,
            api_server,
            chosen,
        }
    }
}

#[async_trait]
impl Source for LiveKeys {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let mut server = Server::reach(&self.options).await?;
        let mut pouring = Pouring {
            sink,
            leases: BTreeMap::new(),
            revision: 0,
        };
        match &self.chosen {
            Chosen::Names(names) => pouring.names(&mut server, names).await?,
            Chosen::Within(reach) => {
                for reach in reach {
                    pouring.all(&mut server, &self.api_server, reach).await?;
                }
            }
        }
        let mut facts = facts(pouring.revision);
        facts.insert(ENDPOINTS.to_owned(), self.options.endpoints.join(","));
        facts.insert("etcd.cluster".to_owned(), format!("{:x}", server.cluster()));
        Ok(Capture {
            facts,
            notes: server.notes,
            ..Capture::default()
        })
    }

    async fn plan(
        &self,
        entries: &mut dyn Entries,
        options: &RestoreOptions,
    ) -> Result<Plan, Error> {
        let wishes = Wishes::read(options)?;
        let mut server = Server::reach(&self.options).await?;
        planning::plan(&mut server, &self.api_server, entries, &wishes).await
    }

    async fn write(
        &self,
        plan: &Plan,
        contents: &mut dyn Contents,
        options: &RestoreOptions,
    ) -> Result<Report, Error> {
        let wishes = Wishes::read(options)?;
        let mut server = Server::reach(&self.options).await?;
        writing::write(&mut server, plan, contents, &wishes).await
    }

    /// A key may hold anything.
    async fn check(&self, _: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        Ok(Vec::new())
    }
}

/// Keys on their way into a capture.
struct Pouring<'s> {
    sink: &'s mut Sink,
    /// For how long the leases were granted that were met.
    leases: BTreeMap<i64, Option<i64>>,
    /// The newest that is known of.
    revision: u64,
}

impl Pouring<'_> {
    async fn names(
        &mut self,
        server: &mut Server<'_>,
        names: &BTreeSet<Name>,
    ) -> Result<(), Error> {
        let keys: Vec<&[u8]> = names.iter().map(Name::as_bytes).collect();
        for keys in keys.chunks(AT_ONCE) {
            for now in look_up(server, keys).await?.into_iter().flatten() {
                self.pour(server, now).await?;
            }
        }
        Ok(())
    }

    async fn all(
        &mut self,
        server: &mut Server<'_>,
        api_server: &ApiServer,
        reach: &Reach,
    ) -> Result<(), Error> {
        let named = api_server.owns(reach.front());
        for range in reach.ranges(api_server) {
            let mut pages = Pages::new(range);
            loop {
                let page = pages.next(server).await?;
                if page.is_empty() {
                    break;
                }
                for now in page {
                    if named || !api_server.owns(&now.key) {
                        self.pour(server, now).await?;
                    }
                }
            }
            self.revision = self.revision.max(pages.revision.cast_unsigned());
        }
        Ok(())
    }

    async fn pour(&mut self, server: &mut Server<'_>, now: Now) -> Result<(), Error> {
        self.revision = self.revision.max(now.revision);
        let ttl = match (now.lease, self.leases.get(&now.lease)) {
            (0, _) => None,
            (_, Some(known)) => *known,
            (lease, None) => {
                let ttl = leases::time_to_live(server, lease).await?;
                self.leases.insert(lease, ttl);
                ttl
            }
        };
        pour(self.sink, now.key, &now.value, now.lease, ttl).await
    }
}

/// One key as an entry.
pub(super) async fn pour(
    sink: &mut Sink,
    key: impl Into<Vec<u8>>,
    value: &[u8],
    lease: i64,
    ttl: Option<i64>,
) -> Result<(), Error> {
    sink.begin(Header {
        name: Name::new(key),
        attributes: Attached::attributes(lease, ttl),
        fields: None,
    })
    .await?;
    sink.data(Content::new(value.to_vec())).await?;
    sink.end().await?;
    Ok(())
}
