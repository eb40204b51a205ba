//! placeholder
/// x
pub fn run() -> i32 {
    1
}
