// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is printed, and the arithmetic before it.

use std::time::Duration;

/// Starts a part of the report.
pub fn head(title: &str) {
    println!("\n{title}\n");
}

/// A row: its name, then its cells, right-aligned.
pub fn row(name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>15}")).collect();
    println!("  {name:<34}{cells}");
}

/// A figure that has a bar, and whether it holds.
pub fn bar(name: &str, figure: &str, bar: &str, holds: bool) {
    println!("  {name:<34}{figure:>15}   {}   bar: {bar}", if holds { "ok    " } else { "MISSED" });
}

/// As the reader likes it.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// The smallest value that at least this part of all values does not exceed.
pub fn quantile<T: Copy + PartialOrd>(values: &[T], part: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|one, other| one.partial_cmp(other).expect("comparable figures"));
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The one in the middle.
pub fn median<T: Copy + PartialOrd>(values: &[T]) -> T {
    quantile(values, 0.5)
}

/// The greatest one.
pub fn greatest<T: Copy + PartialOrd>(values: &[T]) -> T {
    quantile(values, 1.0)
}
