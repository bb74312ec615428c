//! Tests of the log on real disks: restarts, crashes, damage.

use super::*;

fn entries(range: Range<u64>) -> impl Iterator<Item = (u64, Vec<u8>)> {
    range.map(|index| (index, vec![index as u8; 100]))
}

fn indexes(log: &LogDb, range: Range<u64>, bytes_max: usize) -> Vec<u64> {
    log.read(range, bytes_max).expect("whole log").iter().map(|record| record.index).collect()
}

#[test]
fn a_log_opened_again_has_its_entries_its_extent_and_its_hard_state() {
    let dir = tempfile::tempdir().expect("temporary directory");
    {
        let log = LogDb::open(dir.path()).expect("fresh directory");
        assert!(log.extent().is_empty());
        log.append(entries(5..15)).expect("consecutive");
        log.put_meta(LogMeta::Vote, b"seven", true).expect("writable");
        log.sync().expect("writable");
    }
    let log = LogDb::open(dir.path()).expect("own log");
    assert_eq!(log.extent(), LogExtent { first: 5, next: 15 });
    assert_eq!(log.meta(LogMeta::Vote), Ok(Some(b"seven".to_vec())));
    assert_eq!(log.meta(LogMeta::Committed), Ok(None));
    assert_eq!(log.read(7..8, 0).expect("whole log"), [LogRecord { index: 7, bytes: vec![7; 100] }]);
}

#[test]
fn a_read_is_bounded_in_bytes_but_yields_at_least_one_entry() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..10)).expect("consecutive");
    assert_eq!(indexes(&log, 0..100, usize::MAX).len(), 10);
    assert_eq!(indexes(&log, 3..10, 250), [3, 4]);
    assert_eq!(indexes(&log, 3..10, 1), [3]);
    assert!(indexes(&log, 10..20, 1000).is_empty());
}

#[test]
fn an_entry_that_leaves_a_hole_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..3)).expect("consecutive");
    assert!(matches!(log.append(entries(4..5)), Err(LogDbError::NotConsecutive { wanted: 3, given: 4, .. })));
    assert!(matches!(log.append([(3, b"a"), (5, b"b")]), Err(LogDbError::NotConsecutive { .. })));
    assert_eq!(log.extent().next, 3, "a refused write leaves nothing behind");
}

#[test]
fn truncated_and_purged_entries_stay_away_after_a_restart() {
    let dir = tempfile::tempdir().expect("temporary directory");
    {
        let log = LogDb::open(dir.path()).expect("fresh directory");
        log.append(entries(0..20)).expect("consecutive");
        log.truncate_from(15).expect("writable");
        log.purge_to(9, b"purged at 9").expect("writable");
        log.append(entries(15..16)).expect("consecutive");
        log.sync().expect("writable");
    }
    let log = LogDb::open(dir.path()).expect("own log");
    assert_eq!(indexes(&log, 0..100, usize::MAX), [10, 11, 12, 13, 14, 15]);
    assert_eq!(log.purged(), Ok(Some(b"purged at 9".to_vec())));
    log.purge_to(40, b"purged at 40").expect("writable");
    assert_eq!(log.extent(), LogExtent { first: 41, next: 41 });
    drop(log);
    let log = LogDb::open(dir.path()).expect("own log");
    assert_eq!(log.extent(), LogExtent { first: 41, next: 41 }, "what is left on the disk counts for nothing");
    log.append(entries(41..42)).expect("a log emptied by a purge goes on behind it");
    log.purge_to(30, b"purged at 30").expect("nothing to do");
    drop(log);
    let log = LogDb::open(dir.path()).expect("own log");
    assert_eq!(indexes(&log, 0..100, usize::MAX), [41]);
    assert_eq!(log.purged_to(), Ok(Some(40)), "a mark never goes back");
}

#[test]
fn promise_1_a_purge_is_durable_before_files_go_and_a_front_that_is_missing_without_a_mark_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    {
        let log = LogDb::open(dir.path()).expect("fresh directory");
        log.append(entries(0..20)).expect("consecutive");
        log.purge_to(4, b"4").expect("writable");
        assert_eq!(log.synced.noted(), log.written());
        (0..8).for_each(|index| log.db.delete(entry_key(index)).expect("writable"));
    }
    match LogDb::open(dir.path()) {
        Err(LogDbError::Damaged { what, .. }) => assert_eq!(what, "entry 5"),
        other => panic!("{:?}", other.map(|log| log.extent())),
    }
}

#[test]
fn bytes_are_counted_from_any_index_through_truncation_purge_and_restart() {
    let dir = tempfile::tempdir().expect("temporary directory");
    {
        let log = LogDb::open(dir.path()).expect("fresh directory");
        log.append(entries(0..20)).expect("consecutive");
        log.truncate_from(12).expect("writable");
        log.append(entries(12..14)).expect("consecutive");
        assert_eq!(log.bytes_from(0), Ok(1400));
    }
    let log = LogDb::open(dir.path()).expect("own log");
    log.purge_to(3, b"3").expect("writable");
    assert_eq!(log.bytes_from(0), Ok(1000));
    assert_eq!(log.bytes_from(10), Ok(400));
    assert_eq!(log.bytes_from(14), Ok(0));
}

#[test]
fn a_flipped_byte_is_reported_with_the_entry_it_hit() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..3)).expect("consecutive");
    let mut value = log.db.get(entry_key(1)).expect("readable").expect("appended");
    *value.last_mut().expect("not empty") ^= 1;
    log.db.put(entry_key(1), value).expect("writable");
    let text = log.read(0..3, usize::MAX).expect_err("damaged").to_string();
    assert!(text.contains("entry 1") && text.contains("checksum"), "{text}");
    // A whole entry under another's key is damage as well.
    let other = log.db.get(entry_key(0)).expect("readable").expect("appended");
    log.db.put(entry_key(1), other).expect("writable");
    assert!(matches!(log.read(1..2, usize::MAX), Err(LogDbError::Damaged { .. })));
}

#[test]
fn an_entry_of_a_newer_build_is_named_as_such_and_not_as_damage_alone() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..3)).expect("consecutive");
    let mut value = log.db.get(entry_key(1)).expect("readable").expect("appended");
    value[0] += 1;
    log.db.put(entry_key(1), value).expect("writable");
    assert!(matches!(log.read(0..3, usize::MAX), Err(LogDbError::OtherFormat { found: 2, .. })));
}

#[test]
fn a_missing_entry_is_reported_and_not_skipped() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..5)).expect("consecutive");
    log.db.delete(entry_key(2)).expect("writable");
    assert!(matches!(log.read(0..5, usize::MAX), Err(LogDbError::Damaged { .. })));
    log.db.delete(entry_key(4)).expect("writable");
    assert!(matches!(log.read(3..5, usize::MAX), Err(LogDbError::Damaged { .. })));
}

/// The newest write-ahead log.
fn newest_file(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir).expect("a directory").filter_map(Result::ok).map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().expect("a write-ahead log")
}

/// Entries and a vote, each synced, and the places in the newest file where each ends.
fn synced_log(dir: &Path) -> Vec<usize> {
    let log = LogDb::open(dir).expect("fresh directory");
    let mut ends = Vec::new();
    let mut note_end = || ends.push(std::fs::metadata(newest_file(dir)).expect("there").len() as usize);
    for index in 0..3 {
        log.append(entries(index..index + 1)).expect("consecutive");
        log.sync().expect("writable");
        note_end();
    }
    log.put_meta(LogMeta::Vote, b"seven", true).expect("writable");
    note_end();
    ends
}

#[test]
fn promise_1_a_log_that_lost_what_it_had_synced_is_refused() {
    let whole = tempfile::tempdir().expect("temporary directory");
    let ends = synced_log(whole.path());
    assert_eq!(LogDb::open(whole.path()).expect("undamaged").extent().next, 3);
    for damaged in 0..ends.len() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert_eq!(synced_log(dir.path()), ends);
        let file = newest_file(dir.path());
        let mut bytes = std::fs::read(&file).expect("readable");
        bytes[ends[damaged] - 1] ^= 0x40;
        std::fs::write(&file, bytes).expect("writable");
        for start in 0..2 {
            match LogDb::open(dir.path()) {
                Err(LogDbError::TailLost { wanted: 4, found, .. }) => assert!(found < 4),
                other => panic!("record {damaged} was damaged, and start {start} came to {:?}", other.map(|log| log.extent())),
            }
        }
    }
}

/// Copies the files of an open log, as its process' end would leave them.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory").filter_map(Result::ok).filter(|entry| entry.file_name() != "LOCK") {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// Entries 0 to 199, so that whatever comes next is written over what they left.
fn fill_write_ahead_logs(log: &LogDb) {
    for round in 0..5 {
        log.append(entries(40 * round..40 * (round + 1))).expect("consecutive");
        log.sync().expect("writable");
        log.flush().expect("flushable");
    }
}

/// A log, not closed, whose newest write-ahead log was written over an older one that was longer; entry 200 and those that follow are in it.
fn log_written_over_another(dir: &Path) {
    let open = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(open.path()).expect("fresh directory");
    fill_write_ahead_logs(&log);
    for index in 200..203 {
        log.append(entries(index..index + 1)).expect("consecutive");
        log.sync().expect("writable");
    }
    copy(open.path(), dir);
}

#[test]
fn promise_1_a_write_ahead_log_that_is_written_over_ends_where_its_own_writes_do_and_misses_none() {
    let dir = tempfile::tempdir().expect("temporary directory");
    log_written_over_another(dir.path());
    let file = newest_file(dir.path());
    let mut bytes = std::fs::read(&file).expect("readable");
    let last = bytes.windows(100).position(|window| window == [202; 100]).expect("the last entry");
    let older = |window: &[u8]| (1..200).contains(&window[0]) && window.iter().all(|byte| *byte == window[0]);
    assert!(bytes[last..].windows(100).any(older), "behind it stands what the file held before");
    {
        let log = LogDb::open(dir.path()).expect("own log");
        assert_eq!(log.extent(), LogExtent { first: 0, next: 203 });
        assert_eq!(indexes(&log, 0..300, usize::MAX).len(), 203);
    }
    let damaged = tempfile::tempdir().expect("temporary directory");
    log_written_over_another(damaged.path());
    bytes[last] ^= 1;
    std::fs::write(newest_file(damaged.path()), &bytes).expect("writable");
    assert!(matches!(LogDb::open(damaged.path()), Err(LogDbError::TailLost { wanted: 203, found: 202, .. })));
}

#[test]
fn a_write_ahead_log_that_is_written_over_loses_by_a_power_failure_no_more_than_was_never_synced() {
    let (open, before, after) = (tempfile::tempdir(), tempfile::tempdir(), tempfile::tempdir());
    let [open, before, after] = [open, before, after].map(|dir| dir.expect("temporary directory"));
    {
        let log = LogDb::open(open.path()).expect("fresh directory");
        fill_write_ahead_logs(&log);
        log.append(entries(200..203)).expect("consecutive");
        log.sync().expect("writable");
        copy(open.path(), before.path());
        log.append(entries(203..204)).expect("consecutive");
        log.append(entries(204..205)).expect("consecutive");
        copy(open.path(), after.path());
    }
    let [old, new] = [&before, &after].map(|dir| std::fs::read(newest_file(dir.path())).expect("readable"));
    let differs: Vec<usize> = (0..old.len().max(new.len())).filter(|place| old.get(*place) != new.get(*place)).collect();
    let (first, last) = (differs[0], differs[differs.len() - 1]);
    let mut kept = std::collections::BTreeSet::new();
    for end in (first..=last + 1).step_by(23) {
        // The disk has the new bytes up to `end` and the old ones from there on, and the other way round.
        for (one, other) in [(&new, &old), (&old, &new)] {
            let crashed = tempfile::tempdir().expect("temporary directory");
            copy(before.path(), crashed.path());
            let bytes: Vec<u8> = one[..end.min(one.len())].iter().chain(other.get(end..).unwrap_or_default()).copied().collect();
            std::fs::write(newest_file(crashed.path()), bytes).expect("writable");
            let next = LogDb::open(crashed.path()).expect("what was synced is there").extent().next;
            assert!((203..=205).contains(&next), "{end}: {next}");
            kept.insert(next);
        }
    }
    assert!(kept.contains(&203) && kept.contains(&204), "both a part and a whole record were cut off: {kept:?}");
}

#[test]
fn files_of_purged_entries_leave_the_disk_and_none_is_written_twice_before() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    let files = || {
        let of_entries = log.db.live_files().expect("readable").into_iter().filter(|file| file.column_family_name == "default");
        of_entries.map(|file| (file.name, file.level)).collect::<std::collections::BTreeMap<_, _>>()
    };
    let mut written = std::collections::BTreeSet::new();
    for round in 0..12u64 {
        log.append(entries(20 * round..20 * (round + 1))).expect("consecutive");
        log.put_meta(LogMeta::Committed, &round.to_le_bytes(), false).expect("writable");
        log.flush().expect("flushable");
        written.extend(files().into_keys());
    }
    let moved = || files().into_values().filter(|level| *level > 0).count() >= 8;
    for _ in 0..100 {
        if moved() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(moved(), "most have left the first level: {:?}", files());
    assert_eq!(files().into_keys().collect::<std::collections::BTreeSet<_>>(), written, "each as it was written first");
    log.purge_to(130, b"130").expect("writable");
    assert_eq!(files().len(), 12 - 130 / 20, "whole files go at once");
    drop(log);
    let log = LogDb::open(dir.path()).expect("own log");
    assert_eq!(log.extent(), LogExtent { first: 131, next: 240 });
    assert_eq!(indexes(&log, 0..240, usize::MAX).first(), Some(&131), "those that share a file with others are not there to read");
}

#[test]
fn a_log_that_was_never_synced_may_lose_its_tail() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let synced_bytes = *synced_log(dir.path()).last().expect("four records");
    // As after a power failure: of two more writes that were not synced, one is there in part.
    let after = tempfile::tempdir().expect("temporary directory");
    {
        let log = LogDb::open(dir.path()).expect("own log");
        log.append(entries(3..4)).expect("consecutive");
        log.append(entries(4..5)).expect("consecutive");
        copy(dir.path(), after.path());
    }
    let file = newest_file(after.path());
    let bytes = std::fs::read(&file).expect("readable");
    assert!(synced_bytes > 0 && bytes.len() > 20);
    std::fs::write(&file, &bytes[..bytes.len() - 20]).expect("writable");
    let log = LogDb::open(after.path()).expect("what was synced is there");
    assert_eq!(log.extent().next, 4, "the whole record is kept, the torn one is not");
    assert_eq!(log.meta(LogMeta::Vote), Ok(Some(b"seven".to_vec())));
}

#[test]
fn writes_are_numbered_on_through_restarts_flushes_and_purges() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut next = 0;
    for round in 0..4u64 {
        let log = LogDb::open(dir.path()).expect("what was synced is there");
        log.append(entries(next..next + 30)).expect("consecutive");
        next += 30;
        log.sync().expect("writable");
        if round % 2 == 0 {
            log.flush().expect("flushable");
        }
        log.truncate_from(next - 5).expect("writable");
        next -= 5;
        log.purge_to(next - 10, b"purged").expect("writable");
        log.sync().expect("writable");
    }
    assert_eq!(LogDb::open(dir.path()).expect("what was synced is there").purged_to(), Ok(Some(next - 10)));
}
