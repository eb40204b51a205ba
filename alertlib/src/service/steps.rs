// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that works in steps, and outlives a panic in one of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The work of a thread, in steps.
pub trait Steps {
    /// The thread's name in the log.
    const THREAD: &'static str;
    /// The loss when a step panics, for the log.
    const LOSS: &'static str;

    /// Does one step. False: it was the last one.
    fn step(&mut self) -> bool;

    /// Drops and counts what caused a panic: it would cause the panic again.
    fn discard_in_flight(&mut self);
}

/// Does all steps. A panic in a step costs what the step was working on, and not the thread.
pub fn run<T: Steps>(mut thread: T) {
    let mut has_panicked = false;
    loop {
        let step = catch_unwind(AssertUnwindSafe(|| {
            if has_panicked {
                log::error!("{}", internal_error(T::THREAD, T::LOSS));
                thread.discard_in_flight();
            }
            thread.step()
        }));
        if let Ok(false) = step {
            return;
        }
        has_panicked = step.is_err();
    }
}

/// Returns the log line for a panic in a thread. `lost`: the consequence.
pub fn internal_error(part: &str, lost: &str) -> String {
    format!("internal error in the {part}: {lost}; please report this")
}
