//! The thread that gathers the buffers and writes them.

use super::{Shared, Sink, TICK, lock};
use std::sync::atomic::Ordering;

/// Runs until told to stop; then gathers once more.
pub(super) fn run(shared: &Shared, mut sink: Sink) {
    let mut spare = Vec::new();
    loop {
        let (round, stop) = {
            let mut orders = lock(&shared.orders);
            if let Some(file) = orders.reopened.take() {
                let lost = sink.replace(file);
                shared.lines_dropped.fetch_add(lost, Ordering::Relaxed);
            }
            (orders.rounds_wanted, orders.stop)
        };
        // Before gathering: a buffer that fills up from here on asks for a round of its own.
        shared.is_nudged.store(false, Ordering::Release);
        for buffer in shared.buffers.iter() {
            lock(buffer).take(&mut spare);
            let lost = sink.write(&spare);
            shared.lines_dropped.fetch_add(lost, Ordering::Relaxed);
        }
        let mut orders = lock(&shared.orders);
        orders.rounds_done = round;
        orders.stopped = stop;
        drop(orders);
        shared.progress.notify_all();
        if stop {
            return;
        }
        // Returns at once when somebody has called since.
        std::thread::park_timeout(TICK);
    }
}
