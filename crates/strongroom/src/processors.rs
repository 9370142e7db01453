//! The threads on which hashing, compressing and sealing are done.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{Builder, available_parallelism};

use repository::{Compute, Work};

/// More of them only wait for one another's chunks: a source keeps four busy (`repository::Backup`).
const MOST: usize = 8;

/// As many threads as there are processors, which end when the last of what is returned is gone.
///
/// Few and always the same ones, not the runtime's for blocking calls: each has a compressor's tables and a heap of its own, and
/// memory shall not grow with how many calls block.
pub(crate) fn start() -> std::io::Result<Compute> {
    let (sender, receiver) = mpsc::channel::<Work>();
    let receiver = Arc::new(Mutex::new(receiver));
    let threads = available_parallelism().map_or(1, usize::from).min(MOST);
    for _ in 0..threads {
        let receiver = Arc::clone(&receiver);
        let thread = Builder::new().name("compute".to_owned());
        thread.spawn(move || {
            while let Some(work) = next(&receiver) {
                work();
            }
        })?;
    }
    Ok(Compute::new(move |work| {
        // Fails when all threads have panicked: then whoever waits for the result is told.
        drop(sender.send(work));
    }))
}

fn next(receiver: &Mutex<mpsc::Receiver<Work>>) -> Option<Work> {
    let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
    receiver.recv().ok()
}
