use std::sync::Arc;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{BoxFuture, select};

/// Where requests go on while nobody asks for their answers: a restore that writes a file shall not keep the next bytes waiting.
/// Handed in, so that nothing in this crate starts anything.
#[derive(Clone)]
pub struct Beside(Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>);

impl Beside {
    /// `start` must run what it is given, beside whoever calls it.
    pub fn new(start: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(start))
    }

    /// Starts `work` now.
    pub(super) fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        (self.0)(work.boxed());
    }

    /// Starts `work` now; the future waits for its result, which is `None` if the program ends before there is one. Once that future
    /// is dropped, the work is dropped too.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> BoxFuture<'static, Option<T>> {
        let (mut sender, receiver) = oneshot::channel();
        self.start(async move {
            let gone = sender.cancellation().map(|()| None);
            let done = select(Box::pin(work.map(Some)), gone).await;
            if let Some(result) = done.factor_first().0 {
                // Whoever waited may have gone this moment.
                let _ = sender.send(result);
            }
        });
        receiver.map(Result::ok).boxed()
    }
}
