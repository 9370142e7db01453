use std::future::Future;

use futures::future::join_all;
use futures::stream::{self, Stream};
use source::{Batch, Capture, Sink, Source};
use tokio::sync::mpsc;

use crate::live::is_closed;

/// Batches that wait for one taker. Each is shared by all, not copied.
const WAITING: usize = 2;

/// Pours `source` through `filter` into every one of `takers`, at the pace of the slowest. What one makes of it is its own: if it fails,
/// the others go on. An error is the source's.
pub(super) async fn read<T, E, F>(
    source: &dyn Source,
    mut filter: impl FnMut(Batch) -> Batch,
    takers: impl Iterator<Item = impl FnOnce(Batches) -> F>,
) -> anyhow::Result<(Capture, Vec<Result<T, E>>)>
where
    F: Future<Output = Result<T, E>>,
{
    let (mut sink, mut batches) = Sink::channel();
    let mut senders = Vec::new();
    let mut taking = Vec::new();
    for taker in takers {
        let (sender, receiver) = mpsc::channel(WAITING);
        senders.push(Some(sender));
        taking.push(taker(receive(receiver)));
    }
    let reading = async move {
        let capture = source.read(&mut sink).await?;
        sink.finish().await?;
        Ok::<_, source::Error>(capture)
    };
    let forwarding = async move {
        while let Some(batch) = batches.recv().await {
            send(filter(batch), &mut senders).await;
            if senders.iter().all(Option::is_none) {
                break;
            }
        }
    };
    let (capture, (), taken) = futures::join!(reading, forwarding, join_all(taking));
    match capture {
        Ok(capture) => Ok((capture, taken)),
        // It only says that nobody listens any more; they say why.
        Err(error) if is_closed(&error) && taken.iter().all(Result::is_err) => {
            Ok((Capture::default(), taken))
        }
        Err(error) => Err(error.into()),
    }
}

type Batches = std::pin::Pin<Box<dyn Stream<Item = Batch> + Send>>;

fn receive(mut receiver: mpsc::Receiver<Batch>) -> Batches {
    Box::pin(stream::poll_fn(move |context| receiver.poll_recv(context)))
}

/// Hands the batch to all who still listen.
async fn send(batch: Batch, senders: &mut [Option<mpsc::Sender<Batch>>]) {
    let Some(last) = senders.iter().rposition(Option::is_some) else {
        return;
    };
    let mut batch = Some(batch);
    for (at, slot) in senders.iter_mut().enumerate() {
        let Some(sender) = slot else { continue };
        let share = if at == last {
            batch.take()
        } else {
            batch.clone()
        };
        let share = share.expect("the last one is the last to take it");
        if sender.send(share).await.is_err() {
            *slot = None;
        }
    }
}
