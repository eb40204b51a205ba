// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the file store's table: the mails in files and those in RAM.

use super::directory::names_in;
use super::{FileStore, SpoolDirectory, format, incidents, incidents_name};
use crate::engine::Snapshot;
use crate::event::{self, Event, Kind};
use crate::notification::{self, Item, Notification};
use crate::queue::{Batch, Limits, MailId, PendingMail, Store};
use crate::settings::Recipient;

fn recipient(address: &str) -> Recipient {
    Recipient { address: address.parse().expect("address"), is_local: false }
}

fn mail(name: &str, kind: Kind) -> Notification {
    Notification {
        message_id: format!("<{name}@lb1>"),
        to: vec![recipient("ops@example.com"), recipient("oncall@example.com")],
        items: vec![Item::of(Event { kind, ..event::sample() })],
        ..notification::sample()
    }
}

/// Runs `test` with a spool for `mails` mails in files and `limit` in RAM, in a directory that is removed at the end.
fn with_store<T>(name: &str, limit: usize, mails: usize, test: impl FnOnce(&FileStore) -> T) -> T {
    let path = std::env::temp_dir().join(format!("email-alert-store.{name}.{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    let size = format::encode(&PendingMail::new(mail("backend-1", Kind::BackendDown))).len() * mails;
    let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    let directory = SpoolDirectory::open(&path, uid, gid, size as u64).expect("a directory");
    let token = format!("{name}-{}", std::process::id());
    let limits = Limits { mails: limit, ..Limits::default() };
    let (store, _) = FileStore::start(directory, &token, 1, &[], limits);
    let result = test(&store);
    store.end(true);
    std::fs::remove_dir_all(&path).expect("our own directory");
    result
}

/// Commits a mail, then evicts as the collector does; returns its id and the Message-IDs of the evicted mails.
fn put(store: &FileStore, name: &str, kind: Kind) -> (MailId, Vec<String>) {
    let committed = store.commit(Batch { notifications: vec![mail(name, kind)], ..Batch::default() });
    let mut evicted = Vec::new();
    while let Some(victim) = store.excess().first().copied() {
        evicted.push(message_id(store, victim));
        store.delete(victim);
    }
    (committed.mails[0].id, evicted)
}

fn message_id(store: &FileStore, id: MailId) -> String {
    store.load(id).expect("a mail").notification.message_id.clone()
}

#[test]
fn a_full_spool_keeps_the_most_important_mails_in_files() {
    with_store("full", 2, 2, |store| {
        let put = |name: &str, kind| {
            let (id, evicted) = put(store, name, kind);
            (id, evicted.concat(), store.len(), store.volatile())
        };
        let expect = |(id, evicted, len, volatile): (MailId, String, u64, u64),
                      expected: (&str, u64, u64)| {
            assert_eq!((evicted.as_str(), len, volatile), expected);
            id
        };
        expect(put("up-1", Kind::Up), ("", 1, 0));
        expect(put("up-2", Kind::Up), ("", 2, 0));
        let down_1 = expect(put("down-1", Kind::Down), ("", 3, 1));
        let down_2 = expect(put("down-2", Kind::Down), ("", 4, 2));
        let up_3 = expect(put("up-3", Kind::Up), ("<up-1@lb1>", 4, 2));
        let backend = expect(put("backend-1", Kind::BackendDown), ("<up-2@lb1>", 4, 2));
        for (id, name, is_volatile) in [
            (down_1, "<down-1@lb1>", true),
            (down_2, "<down-2@lb1>", false),
            (up_3, "<up-3@lb1>", true),
            (backend, "<backend-1@lb1>", false),
        ] {
            assert_eq!(message_id(store, id), name);
            let before = store.volatile();
            store.delete(id);
            assert_eq!(before - store.volatile(), u64::from(is_volatile), "{name}");
        }
        assert_eq!((store.len(), store.volatile()), (0, 0));
    });
}

#[test]
fn a_mail_that_is_not_cached_moves_into_ram_complete() {
    let downs: Vec<Notification> = (0..1024).map(|n| mail(&format!("down-{n}"), Kind::Down)).collect();
    with_store("moves", 10, 1024, |store| {
        store.commit(Batch { notifications: downs, ..Batch::default() });
        let (up, _) = put(store, "up", Kind::Up);
        let before = store.volatile();
        while store.volatile() == before {
            assert_eq!(put(store, "backend", Kind::BackendDown).1, [""; 0]);
        }
        let moved = store.load(up).expect("the mail");
        assert_eq!(
            (&moved.notification.message_id[..], &moved.remaining),
            ("<up@lb1>", &moved.notification.to)
        );
        store.delete(up);
        assert_eq!(store.volatile(), before, "it was the mail that moved");
    });
}

#[test]
fn a_mail_that_is_displaced_while_it_is_sent_can_be_updated_and_deleted() {
    with_store("displaced", 10, 2, |store| {
        let (up, _) = put(store, "up-1", Kind::Up);
        let sent = store.load(up).expect("a mail");
        put(store, "up-2", Kind::Up);
        put(store, "down-1", Kind::Down);
        assert_eq!(store.volatile(), 1, "the first one was displaced");
        let remaining = sent.remaining[1..].to_vec();
        store.update(
            up,
            PendingMail { notification: sent.notification.clone(), remaining: remaining.clone() },
        );
        assert_eq!(store.load(up).expect("a mail").remaining, remaining);
        store.delete(up);
        assert_eq!((store.len(), store.volatile()), (2, 0));
    });
}

#[test]
fn an_updated_mail_keeps_its_id_alone_and_in_a_shared_file() {
    with_store("updated", 10, 10, |store| {
        let notifications = vec![mail("down-1", Kind::Down), mail("down-2", Kind::Down)];
        let committed = store.commit(Batch { notifications, ..Batch::default() });
        for stored in &committed.mails {
            for _ in 0..2 {
                let loaded = store.load(stored.id).expect("a mail");
                let remaining = loaded.remaining[..1].to_vec();
                let notification = loaded.notification.clone();
                store.update(stored.id, PendingMail { notification, remaining: remaining.clone() });
                assert_eq!(store.load(stored.id).expect("a mail").remaining, remaining);
            }
        }
        assert_eq!((store.len(), store.volatile()), (2, 0));
    });
}

#[test]
fn volatile_mails_are_written_after_a_delete_in_a_full_spool() {
    with_store("retried", 10, 2, |store| {
        let ids: Vec<MailId> = (0..3).map(|n| put(store, &format!("down-{n}"), Kind::Down).0).collect();
        assert_eq!(store.volatile(), 1);
        store.retry_writes();
        assert_eq!(store.volatile(), 1, "the spool is full");
        store.delete(ids[0]);
        store.retry_writes();
        assert_eq!((store.len(), store.volatile()), (2, 0));
        assert_eq!(message_id(store, ids[2]), "<down-2@lb1>");
    });
}

/// Commits a snapshot (`None`: unchanged); returns the names of the spool's incidents files and drafts.
fn put_snapshot(store: &FileStore, snapshot: Option<&Snapshot>) -> Vec<String> {
    assert!(store.commit(Batch { snapshot, ..Batch::default() }).is_snapshot_saved);
    let mut names = names_in(&store.files.directory.directory);
    names.retain(|name| name.starts_with("incidents.") || name.starts_with("draft."));
    names
}

#[test]
fn an_empty_snapshot_replaces_one_that_another_process_has_taken_over() {
    let (empty, silence) = (Snapshot::default(), r#"[{"pattern":"api","until":1,"reason":"release"}]"#);
    let line = format!("{{\"snapshot\":{{\"silences\":{silence},\"audiences\":[]}},\"version\":4}}\n");
    let snapshot = incidents::decode(&line).expect("a snapshot");
    with_store("snapshot", 10, 10, |store| {
        let name = incidents_name(&store.files.token);
        assert_eq!(put_snapshot(store, Some(&empty)), [""; 0], "there is none to replace");
        assert_eq!(put_snapshot(store, Some(&snapshot)), [&*name]);
        assert_eq!(put_snapshot(store, None), [&*name]);
        assert_eq!(put_snapshot(store, Some(&empty)), [""; 0], "no other process has read it");
        assert_eq!(put_snapshot(store, Some(&snapshot)), [&*name]);
        store.files.try_unlink(&name).expect("another process takes it over");
        assert_eq!(put_snapshot(store, Some(&empty)), [&*name]);
        assert_eq!(store.files.read(&name), Ok(incidents::encode(&empty)));
        store.files.unlink(&name);
    });
}

#[test]
fn an_empty_snapshot_that_was_committed_before_a_kill_reaches_the_next_process() {
    with_store("next", 10, 10, |next| {
        let path = next.files.directory.path.clone();
        let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let directory = SpoolDirectory::open(path.as_ref(), uid, gid, 1 << 20).expect("a directory");
        let (killed, _) = FileStore::start(directory, "killed", 1, &[], Limits::default());
        let number = killed.files.next_number();
        assert!(killed.files.write_draft(number, &incidents::encode(&Snapshot::default())));
        put_snapshot(&killed, None);
        drop(killed);
        let orphans = next.orphans();
        assert_eq!(next.foreign_snapshots(), [("killed".to_owned(), Snapshot::default())]);
        orphans.into_iter().for_each(|orphan| orphan.claim.finish());
        next.delete_foreign_snapshot("killed");
    });
}
