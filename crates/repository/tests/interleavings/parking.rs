//! Where operations wait until the schedule says that they happen, and the store through which an actor asks for them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Extensions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::bucket::{Bucket, Operation, Reply};

/// The number of an actor in its schedule.
pub(crate) type ActorId = usize;

/// An operation: whose, and the how manyeth of theirs.
pub(crate) type OperationId = (ActorId, u32);

/// The bucket, and what is asked of it.
pub(crate) struct Lot {
    pub(crate) bucket: Bucket,
    waiting: BTreeMap<OperationId, Waiting>,
    asked: BTreeMap<ActorId, u32>,
    /// Commits that somebody tried to create, since it was last looked at.
    pub(crate) attempts: Vec<Bytes>,
}

struct Waiting {
    operation: Operation,
    state: State,
}

enum State {
    /// Its actor waits for the answer.
    Parked(Waker),
    Answered(Result<Reply>),
    /// Nobody waits any more, but it is on its way: it may still happen.
    Adrift,
}

impl Lot {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            waiting: BTreeMap::new(),
            asked: BTreeMap::new(),
            attempts: Vec::new(),
        }
    }

    /// Operations whose actors wait, in the order of actors, oldest first.
    pub(crate) fn parked(&self) -> impl Iterator<Item = (OperationId, &Operation)> {
        self.those(|state| matches!(state, State::Parked(_)))
    }

    /// Operations of those who are gone, which may still happen.
    pub(crate) fn adrift(&self) -> impl Iterator<Item = (OperationId, &Operation)> {
        self.those(|state| matches!(state, State::Adrift))
    }

    fn those(
        &self,
        which: impl Fn(&State) -> bool,
    ) -> impl Iterator<Item = (OperationId, &Operation)> {
        let waiting = self.waiting.iter();
        waiting
            .filter(move |(_, waiting)| which(&waiting.state))
            .map(|(id, waiting)| (*id, &waiting.operation))
    }

    pub(crate) fn operation(&self, id: OperationId) -> &Operation {
        &self.waiting[&id].operation
    }

    /// Gives whoever waits for the operation its answer.
    pub(crate) fn answer(&mut self, id: OperationId, reply: Result<Reply>) {
        let waiting = self.waiting.get_mut(&id).expect("it is parked");
        match std::mem::replace(&mut waiting.state, State::Answered(reply)) {
            State::Parked(waker) => waker.wake(),
            _ => panic!("an operation is answered once, while somebody waits"),
        }
    }

    /// Forgets an operation that nobody waits for.
    pub(crate) fn settle(&mut self, id: OperationId) {
        self.waiting.remove(&id);
    }

    fn park(&mut self, actor: ActorId, operation: Operation, state: State) -> OperationId {
        let number = self.asked.entry(actor).or_default();
        let id = (actor, *number);
        *number += 1;
        self.waiting.insert(id, Waiting { operation, state });
        id
    }

    fn poll(&mut self, id: OperationId, waker: &Waker) -> Poll<Result<Reply>> {
        let waiting = self.waiting.get_mut(&id).expect("it waits");
        if let State::Parked(known) = &mut waiting.state {
            known.clone_from(waker);
            return Poll::Pending;
        }
        match self.waiting.remove(&id).map(|waiting| waiting.state) {
            Some(State::Answered(reply)) => Poll::Ready(reply),
            _ => panic!("an answer is taken once"),
        }
    }

    fn leave(&mut self, id: OperationId) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            if matches!(waiting.state, State::Parked(_)) && waiting.operation.changes() {
                waiting.state = State::Adrift;
            } else {
                self.waiting.remove(&id);
            }
        }
    }
}

/// An object store as one actor sees it: each operation waits for the schedule.
#[derive(Clone)]
pub(crate) struct Handle {
    lot: Arc<Mutex<Lot>>,
    manner: Manner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Operations of an actor wait.
    Parked(ActorId),
    /// The same, but objects of runs are reported as durable before they are: "packs first", left out.
    Hasty(ActorId),
    /// Everything happens at once: for those who look on.
    AtOnce,
}

impl Handle {
    pub(crate) fn new(lot: Arc<Mutex<Lot>>, manner: Manner) -> Self {
        Self { lot, manner }
    }

    fn lot(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().expect("nothing panics there")
    }

    async fn ask(&self, operation: Operation) -> Result<Reply> {
        let actor = match self.manner {
            Manner::Parked(actor) | Manner::Hasty(actor) if !is_description(&operation) => actor,
            _ => return self.lot().bucket.apply(&operation, 0).reply,
        };
        if let Operation::Create { name, bytes } = &operation {
            if name.contains("/log/") {
                self.lot().attempts.push(bytes.clone());
            } else if self.manner == Manner::Hasty(actor) {
                self.lot().park(actor, operation, State::Adrift);
                return Ok(Reply::Done);
            }
        }
        let parked = State::Parked(Waker::noop().clone());
        let id = self.lot().park(actor, operation, parked);
        Wait { handle: self, id }.await
    }
}

/// It never changes, so that it does not matter when it is read.
fn is_description(operation: &Operation) -> bool {
    matches!(operation, Operation::Read { name, .. } if name == "strongroom.json")
}

/// Waits for an answer. If it is dropped before, the operation is adrift.
struct Wait<'a> {
    handle: &'a Handle,
    id: OperationId,
}

impl Future for Wait<'_> {
    type Output = Result<Reply>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.handle.lot().poll(self.id, context.waker())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.handle.lot().leave(self.id);
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bucket")
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for Handle {
    async fn put_opts(
        &self,
        at: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        assert!(
            matches!(options.mode, PutMode::Create),
            "{at}: nothing is ever overwritten"
        );
        let (name, bytes) = (at.to_string(), bytes.into());
        self.ask(Operation::Create { name, bytes }).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: Extensions::default(),
        })
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        panic!("{at}: every object is one conditional put");
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let name = at.to_string();
        match self.ask(Operation::Read { name, options }).await? {
            Reply::Object(object) => Ok(*object),
            _ => unreachable!("a read gives an object"),
        }
    }

    fn delete_stream(
        &self,
        names: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let handle = self.clone();
        names
            .and_then(move |at| {
                let handle = handle.clone();
                async move {
                    let name = at.to_string();
                    handle.ask(Operation::Delete { name }).await?;
                    Ok(at)
                }
            })
            .boxed()
    }

    fn list(&self, folder: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let folder = folder.map(ToString::to_string).unwrap_or_default();
        let state = (self.clone(), folder, Some(String::new()));
        let pages = stream::try_unfold(state, |(handle, folder, after)| async move {
            let Some(after) = after else {
                return Ok::<_, object_store::Error>(None);
            };
            let list = Operation::List {
                folder: folder.clone(),
                after,
            };
            match handle.ask(list).await? {
                Reply::Page { objects, next } => {
                    let objects = stream::iter(objects.into_iter().map(Ok));
                    Ok(Some((objects, (handle, folder, next))))
                }
                _ => unreachable!("a list gives a page"),
            }
        });
        pages.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, folder: Option<&Path>) -> Result<ListResult> {
        let folder = folder.map(ToString::to_string).unwrap_or_default();
        match self.ask(Operation::Folders { folder }).await? {
            Reply::Folders(folders) => Ok(folders),
            _ => unreachable!("folders were asked for"),
        }
    }

    async fn copy_opts(&self, from: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        panic!("{from}: nothing copies");
    }
}
