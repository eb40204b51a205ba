// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the mails of the documentation, `doc/mails/*.eml`, and removes those that are none any more.

use end_to_end::golden;

fn main() -> std::io::Result<()> {
    let (directory, mails) = (golden::directory(), golden::generate());
    std::fs::create_dir_all(&directory)?;
    for file in std::fs::read_dir(&directory)? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".eml") && !mails.contains_key(name) {
            std::fs::remove_file(&path)?;
        }
    }
    mails.into_iter().try_for_each(|(name, mail)| std::fs::write(directory.join(name), mail))
}
