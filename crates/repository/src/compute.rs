use std::sync::Arc;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

/// Where work for a processor is done: hashing, compressing, sealing. The caller decides on threads; a test decides on
/// none.
#[derive(Clone)]
pub struct Compute(Arc<dyn Fn(Work) + Send + Sync>);

/// Something to be computed: it waits for nothing.
pub type Work = Box<dyn FnOnce() + Send>;

impl Compute {
    /// `start` must run what it is given, at once or on another thread.
    pub fn new(start: impl Fn(Work) + Send + Sync + 'static) -> Self {
        Self(Arc::new(start))
    }

    /// Everything at once, on the caller's thread.
    pub fn inline() -> Self {
        Self::new(|work| work())
    }

    /// Starts `work` now; the future waits for its result.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> BoxFuture<'static, T> {
        let (sender, receiver) = oneshot::channel();
        (self.0)(Box::new(move || {
            // Nobody waits any more if the backup was cancelled.
            let _ = sender.send(work());
        }));
        async { receiver.await.expect("work for a processor does not panic") }.boxed()
    }
}
